# SPDX-License-Identifier: Apache-2.0
# Made with: python 3.11, pyvene 0.1.8, torch 2.15, transformers 5.23, safetensors.
"""Writes the reference folders of this directory, from pyvene itself on ../models/gpt2_tied.

    python make_reference.py                    writes every case
    python make_reference.py --check            loads ./written (folders that vene wrote) into pyvene, and compares outputs

A case is what pyvene saved (config.json, intkey_*.bin), run.json (how it is run) and reference.safetensors: logits, the loss's
gradient of each parameter ("gradient.<key>.<name>"), and the losses of 50 steps of Adam from there. The loss is the cross entropy of
the last position's logits against run.json's labels. Temperatures are constants here, as in vene.
"""
import io
import json
import pathlib
import shutil
import sys

import numpy
import pyvene
import torch
import transformers
from contextlib import redirect_stdout
from importlib.metadata import version
from safetensors.torch import load_file, save_file

assert version("pyvene") == "0.1.8" and torch.__version__.startswith("2.15") and transformers.__version__.startswith("5.23")
HERE = pathlib.Path(__file__).parent
ROWS, POSITIONS, VOCABULARY, STEPS, RATE = 4, 6, 60, 50, 5e-3
torch.set_num_threads(1)

# pyvene writes into the output of a ReLU, which its own backward then misses; a copy has the same values.
encode = pyvene.models.layers.AutoencoderLayer.encode
pyvene.models.layers.AutoencoderLayer.encode = lambda self, x: encode(self, x).clone()


def model():
    return transformers.GPT2LMHeadModel.from_pretrained(HERE / "../models/gpt2_tied", attn_implementation="eager").eval()


def everywhere(count, source, base, rows=ROWS):
    """The same source and base units in every row, of `count` interventions."""
    return {"sources->base": [[[source] * rows] * count, [[base] * rows] * count]}


def heads(count, hs, ps, rows=ROWS):
    side = [[[hs] * rows, [ps] * rows]] * count
    return {"sources->base": [side, side]}


def one(kind, **fields):
    return [dict(layer=1, component="block_output", intervention_type=getattr(pyvene, kind), **fields)]


def fill(parameter, scale=0.3):
    with torch.no_grad():
        parameter.add_(torch.randn(parameter.shape) * scale)


AT = everywhere(1, [2], [4])
ALL_ROWS = lambda ids: [[ids] * ROWS]
# name: representations, locations, subspaces, number of sources, mode, and pyvene's interchange_dim where it is set.
CASES = {
    "rotated": dict(representations=one("RotatedSpaceIntervention"), subspaces=ALL_ROWS([0, 1, 2, 5])),
    "rotated_leading": dict(representations=one("RotatedSpaceIntervention"), interchange=3),
    "rotated_partition": dict(representations=one("RotatedSpaceIntervention", subspace_partition=[[0, 4], [4, 8], [8, 16]]), subspaces=[[[0], [1], [0], [1]]]),
    "rotated_units": dict(representations=one("RotatedSpaceIntervention", max_number_of_units=2), locations=everywhere(1, [1, 3], [2, 4]), subspaces=ALL_ROWS([0, 3, 17, 30])),
    "low_rank": dict(representations=one("LowRankRotatedSpaceIntervention", low_rank_dimension=3)),
    "low_rank_partition": dict(representations=one("LowRankRotatedSpaceIntervention", low_rank_dimension=4, subspace_partition=[[0, 2], [2, 4]]), subspaces=[[[0], [1], [1], [0]]]),
    "low_rank_one": dict(representations=one("LowRankRotatedSpaceIntervention", low_rank_dimension=1)),
    "low_rank_full": dict(representations=one("LowRankRotatedSpaceIntervention", low_rank_dimension=16), subspaces=ALL_ROWS([1, 2])),
    "low_rank_heads": dict(representations=[dict(layer=1, component="head_attention_value_output", unit="h.pos", max_number_of_units=2, low_rank_dimension=3,
                                                 intervention_type=pyvene.LowRankRotatedSpaceIntervention)], locations=heads(1, [0, 3], [2, 4])),
    "boundless": dict(representations=one("BoundlessRotatedSpaceIntervention"), temperature=2.0),
    "sigmoid_mask_rotated": dict(representations=one("SigmoidMaskRotatedSpaceIntervention")),
    "sigmoid_mask": dict(representations=one("SigmoidMaskIntervention"), temperature=0.5),
    "autoencoder": dict(representations=one("AutoencoderIntervention", latent_dim=24), interchange=[0, 2, 3, 11, 23]),
    "jump_relu": dict(representations=one("JumpReLUAutoencoderIntervention", low_rank_dimension=20), interchange=12),
    "two_sources": dict(representations=one("RotatedSpaceIntervention") + one("LowRankRotatedSpaceIntervention", low_rank_dimension=2), locations=everywhere(2, [2], [3]),
                        subspaces=[[[0, 1]] * ROWS, None], sources=2),
    "serial": dict(representations=[dict(layer=0, component="block_output", low_rank_dimension=2, intervention_type=pyvene.LowRankRotatedSpaceIntervention),
                                    dict(layer=1, component="block_output", low_rank_dimension=3, intervention_type=pyvene.LowRankRotatedSpaceIntervention)],
                   locations={"source_0->source_1": [[[[1]] * ROWS], [[[2]] * ROWS]], "source_1->base": [[[[4]] * ROWS], [[[4]] * ROWS]]}, sources=2, mode="serial"),
    "linked": dict(representations=2 * one("RotatedSpaceIntervention", subspace_partition=[[0, 4], [4, 16]], intervention_link_key=0), locations=everywhere(2, [2], [3]),
                   subspaces=[[[0]] * ROWS, [[1]] * ROWS], sources=2),
    "constant": dict(representations=[dict(layer=1, component="mlp_output", intervention_type=pyvene.VanillaIntervention, source_representation=torch.linspace(-1, 1, 16))],
                     locations={"base": [[[3]] * ROWS]}, sources=0),
}


def build(case):
    config = pyvene.IntervenableConfig([pyvene.RepresentationConfig(**r) for r in case["representations"]], mode=case.get("mode", "parallel"))
    intervenable = pyvene.IntervenableModel(config, model())
    return intervenable


def unique(intervenable):
    seen, found = set(), []
    for key, intervention in intervenable.interventions.items():
        if id(intervention) not in seen:
            seen.add(id(intervention))
            found.append((key, intervention))
    return found


def randomize(intervenable, case):
    """Away from the start, where every map is the identity, and masks and boundaries where they have a slope."""
    for _, intervention in unique(intervenable):
        for name, parameter in intervention.named_parameters():
            if name.endswith("original"):
                diagonal = parameter.diagonal().clone()
                fill(parameter)
                with torch.no_grad():
                    parameter.diagonal().copy_(diagonal)
            elif name == "masks":
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape) * 60)
            elif name == "temperature":
                parameter.requires_grad_(False)
                if "temperature" in case:
                    intervention.set_temperature(torch.tensor(case["temperature"]))
            elif parameter.is_floating_point() and name != "intervention_boundaries":
                fill(parameter)
        if "interchange" in case:
            intervention.set_interchange_dim(case["interchange"])


def batches(count):
    ids = torch.randint(1, VOCABULARY, (count + 1, ROWS, POSITIONS))
    return ids[0], list(ids[1:])


def forward(intervenable, run, base, sources):
    def tuples(value):
        return {hop: tuple(sides) if hop != "base" else sides for hop, sides in value.items()}
    arguments = dict(unit_locations=tuples(run["unit_locations"]), subspaces=run["subspaces"])
    _, output = intervenable({"input_ids": base}, [{"input_ids": s} for s in sources] or None, **arguments)
    return output.logits


def make(name, case):
    torch.manual_seed(sum(name.encode()))
    intervenable = build(case)
    randomize(intervenable, case)
    base, sources = batches(case.get("sources", 1))
    run = dict(unit_locations=case.get("locations", AT), subspaces=case.get("subspaces"), labels=torch.randint(1, VOCABULARY, (ROWS,)).tolist(), steps=STEPS, rate=RATE)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    with redirect_stdout(io.StringIO()):
        intervenable.save(folder)
    (folder / "run.json").write_text(json.dumps(run) + "\n")
    labels = torch.tensor(run["labels"])
    loss_of = lambda: torch.nn.functional.cross_entropy(forward(intervenable, run, base, sources)[:, -1], labels)
    values = {"base": base, "logits": forward(intervenable, run, base, sources).detach().clone()}
    values |= {f"source.{i}": s for i, s in enumerate(sources)}
    parameters = [(f"{key}.{n}", p) for key, i in unique(intervenable) for n, p in i.named_parameters() if p.requires_grad]
    if parameters:
        loss_of().backward()
        values |= {f"gradient.{n}": p.grad.clone() for n, p in parameters if p.grad is not None}
        optimizer = torch.optim.Adam([p for _, p in parameters], lr=RATE)
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        values["losses"] = torch.tensor(losses)
        values["trained_logits"] = forward(intervenable, run, base, sources).detach().clone()
    save_file({k: v.contiguous() for k, v in values.items()}, folder / "reference.safetensors", {"pyvene": "0.1.8"})
    print(name, sum(path.stat().st_size for path in folder.iterdir()), "bytes", [round(x, 3) for x in values.get("losses", torch.zeros(0)).tolist()[::16]])


def make_pca():
    """pyvene saves no PCA: its tensors, an input and what it makes of it."""
    torch.manual_seed(0)
    class Fitted:
        components_ = torch.linalg.qr(torch.randn(16, 5))[0].T.numpy()
    mean, std = torch.randn(16), torch.rand(16) + 0.5
    intervention = pyvene.PCARotatedSpaceIntervention(embed_dim=5, pca=Fitted, pca_mean=mean.numpy(), pca_std=std.numpy())
    base, source = torch.randn(ROWS, 16), torch.randn(ROWS, 16)
    values = dict(pca_components=intervention.pca_components.data, pca_mean=mean, pca_std=std, base=base, source=source,
                  whole=intervention(base.clone(), source.clone()), some=intervention(base.clone(), source.clone(), subspaces=[[0, 3]] * ROWS))
    save_file({k: v.detach().contiguous() for k, v in values.items()}, HERE / "pca.safetensors", {"pyvene": "0.1.8"})


def make_starts():
    """The starting weights of a seed, and their first draws."""
    values = {}
    for rank in (8, 3):
        torch.manual_seed(11)
        start = pyvene.LowRankRotatedSpaceIntervention(embed_dim=8, low_rank_dimension=rank)
        values[f"weight.{rank}"] = start.rotate_layer.weight.detach().clone()
    torch.manual_seed(11)
    coder = pyvene.AutoencoderIntervention(embed_dim=8, latent_dim=5)
    values |= {n: p.detach().clone() for n, p in coder.named_parameters()}
    save_file({k: v.contiguous() for k, v in values.items()}, HERE / "starts.safetensors", {"pyvene": "0.1.8"})


def make_sae():
    """A small sparse autoencoder in the forms that they are published in, and arrays of many dtypes. numpy's zips carry the time."""
    folder = HERE / "sae"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(3)
    weights = {"W_enc": torch.randn(4, 7), "W_dec": torch.randn(7, 4), "b_enc": torch.randn(7), "b_dec": torch.randn(4), "threshold": torch.rand(7)}
    save_file(weights, folder / "sae.safetensors")
    arrays = {name: value.numpy() for name, value in weights.items()}
    numpy.savez(folder / "sae.npz", **arrays)
    numpy.savez_compressed(folder / "sae_compressed.npz", **arrays)
    plain = numpy.arange(6).reshape(2, 3)
    numpy.savez_compressed(folder / "dtypes.npz", f2=plain.astype("f2"), f4=plain.astype("f4"), f8=plain.astype("f8"), i1=plain.astype("i1"), i8=plain.astype("i8"),
                           b1=plain.astype("b1"), fortran=numpy.asfortranarray(plain.astype("f4")), scalar=numpy.float32(2.5), empty=numpy.zeros((0, 3), "f4"),
                           long=numpy.arange(5000) % 7)


def check():
    for name in CASES:
        folder = HERE / "written" / name
        run = json.loads((HERE / name / "run.json").read_text())
        reference = load_file(HERE / name / "reference.safetensors")
        for archive in folder.glob("*.bin"):
            torch.load(archive, weights_only=True)
        with redirect_stdout(io.StringIO()):
            intervenable = pyvene.IntervenableModel.load(str(folder), model())
        sources = [reference[f"source.{i}"] for i in range(CASES[name].get("sources", 1))]
        with torch.no_grad():
            error = (forward(intervenable, run, reference["base"], sources) - reference["logits"]).abs().max().item()
        print(name, error)
        assert error < TOLERANCE, name


TOLERANCE = 1e-6

if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        for case_name in sys.argv[1:] or CASES:
            make(case_name, CASES[case_name])
        if not sys.argv[1:]:
            make_pca()
            make_starts()
            make_sae()
