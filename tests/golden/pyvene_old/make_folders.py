# SPDX-License-Identifier: Apache-2.0
# Made with: python 3.11, pyvene 0.1.8, torch 2.15, transformers 5.23, safetensors.
"""Writes the folders of this directory: one set of interventions on ../models/gpt2_tied, laid out as pyvene's versions saved it.

    python make_folders.py

names_of_0_0_6   eight entries a representation, the keys intervenable_*, archives intkey_layer.1.repr...; no constants yet
names_of_0_1_2   thirteen entries, archives intkey_layer.1.comp...
names_of_0_1_8   fourteen entries, archives intkey_layer_1_comp_...: saved by pyvene 0.1.8 itself

expected.safetensors holds the inputs, and the logits that pyvene 0.1.8 makes of the last folder. The two older ones have
sorted_keys in the order that the sites run in, as with intervenables_sort_fn, which is not that of the representations.
"""
import io
import json
import pathlib
import shutil

import pyvene
import torch
import transformers
from contextlib import redirect_stdout
from importlib.metadata import version
from safetensors.torch import save_file

assert version("pyvene") == "0.1.8" and torch.__version__.startswith("2.15") and transformers.__version__.startswith("5.23")
HERE = pathlib.Path(__file__).parent
ROWS, POSITIONS, VOCABULARY, RANK = 2, 5, 60, 3
LAYERS = [1, 0]
KINDS = [pyvene.LowRankRotatedSpaceIntervention, pyvene.VanillaIntervention]
torch.set_num_threads(1)


def build():
    model = transformers.GPT2LMHeadModel.from_pretrained(HERE / "../models/gpt2_tied", attn_implementation="eager").eval()
    places = [pyvene.RepresentationConfig(layer=LAYERS[0], component="block_output", low_rank_dimension=RANK, intervention_type=KINDS[0]),
              pyvene.RepresentationConfig(layer=LAYERS[1], component="mlp_output", intervention_type=KINDS[1])]
    return pyvene.IntervenableModel(pyvene.IntervenableConfig(places), model)


def write(name, config, archive, tensors):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    torch.save(tensors, folder / archive)


def main():
    torch.manual_seed(5)
    intervenable = build()
    rotation = intervenable.interventions[f"layer_{LAYERS[0]}_comp_block_output_unit_pos_nunit_1#0"]
    with torch.no_grad():
        original = rotation.rotate_layer.parametrizations.weight.original
        diagonal = original.diagonal().clone()
        original.add_(torch.randn(original.shape) * 0.3).diagonal().copy_(diagonal)
    tensors = {name: value.detach().clone() for name, value in rotation.state_dict().items()}
    weights = {name: value for name, value in tensors.items() if name.startswith("rotate_layer")}
    types = [str(kind) for kind in KINDS]
    width = intervenable.model.config.n_embd

    newest = HERE / "names_of_0_1_8"
    shutil.rmtree(newest, ignore_errors=True)
    with redirect_stdout(io.StringIO()):
        intervenable.save(newest)

    keys = [f"layer.{LAYERS[1]}.comp.mlp_output.unit.pos.nunit.1#0", f"layer.{LAYERS[0]}.comp.block_output.unit.pos.nunit.1#0"]
    empty = [None] * 8
    write("names_of_0_1_2",
          {"intervention_constant_sources": [False, False], "intervention_dimensions": [width, width], "intervention_types": types, "mode": "parallel",
           "representations": [[LAYERS[0], "block_output", "pos", 1, RANK, *empty], [LAYERS[1], "mlp_output", "pos", 1, None, *empty]],
           "sorted_keys": keys, "transformers_version": "4.40.0"},
          f"intkey_{keys[1]}.bin", tensors)

    keys = [key.replace(".comp.", ".repr.") for key in keys]
    write("names_of_0_0_6",
          {"intervenable_interventions": [None], "intervenable_interventions_type": types,
           "intervenable_model_type": "<class 'transformers.models.gpt2.modeling_gpt2.GPT2LMHeadModel'>",
           "intervenable_representations": [[LAYERS[0], "block_output", "pos", 1, RANK, None, None, None], [LAYERS[1], "mlp_output", "pos", 1, None, None, None, None]],
           "intervention_dimensions": [None, width], "mode": "parallel", "sorted_keys": keys, "transformers_version": "4.30.0"},
          f"intkey_{keys[1]}.bin", weights)

    ids = torch.randint(1, VOCABULARY, (3, ROWS, POSITIONS))
    places = {"sources->base": ([[[1]] * ROWS, [[2]] * ROWS], [[[3]] * ROWS, [[2]] * ROWS])}
    with torch.no_grad():
        _, output = intervenable({"input_ids": ids[0]}, [{"input_ids": ids[1]}, {"input_ids": ids[2]}], places)
    values = {"base": ids[0], "source.0": ids[1], "source.1": ids[2], "logits": output.logits}
    save_file({name: value.contiguous() for name, value in values.items()}, HERE / "expected.safetensors", {"pyvene": "0.1.8"})


if __name__ == "__main__":
    main()
