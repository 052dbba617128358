# SPDX-License-Identifier: Apache-2.0
# Made with: python 3, torch 2.15, transformers 5.23, pyvene 0.1.8 (the wheel), numpy, safetensors.
"""Writes this directory's data: a folder a model (config.json, model.safetensors), cases.json and expected.safetensors.

    python make_grid.py

A case is an experiment (docs/experiment.md) and its results as pyvene has them: "<case>.original", "<case>.intervened"
and "<case>.collected.<i>". Where pyvene is wrong or refuses ("oracle": "pytorch", and "note" says why), they are those of
the hooks written by hand in oracle.py, which must agree with pyvene on every other case, and differ from it on these.
Values at padded positions mean nothing and are written as 0. A further model is an entry in ports.py.
"""
import collections
import contextlib
import importlib.metadata
import io
import json
import sys
import warnings

import pyvene
import torch
import transformers
from safetensors.torch import save_file

import cases
import oracle
import ports
import pyvene_side
from experiment import HERE, Experiment

SEED = 20240613
TOLERANCE = 1e-5
EXPECTED_VERSIONS = {torch: "2.15.", transformers: "5.23."}
for module, version in EXPECTED_VERSIONS.items():
    assert module.__version__.startswith(version), f"{module.__name__} {module.__version__}, expected {version}*"
assert importlib.metadata.version("pyvene") == "0.1.8"
warnings.filterwarnings("ignore")


def difference(expected, actual):
    if set(expected) - set(actual):
        return float("inf")
    return max(float((expected[name] - actual[name]).abs().max()) if expected[name].shape == actual[name].shape else float("inf") for name in expected)


def without_padding(result, experiment):
    """Values at padded positions mean nothing."""
    mask = experiment.base.get("attention_mask")
    for name in ("original", "intervened"):
        if mask is not None and name in result:
            result[name] = torch.where(mask.unsqueeze(-1) == 1, result[name], torch.zeros(()))
    return result


def save_model(model, port):
    folder = HERE / port.name
    if port.recurrent:  # whose save_pretrained fails
        folder.mkdir(exist_ok=True)
        fields = {name: getattr(model.config, name) for name in ("include_emb", "n_layer", "h_dim", "n_labels", "include_bias")}
        (folder / "config.json").write_text(json.dumps({"architectures": [type(model).__name__], "model_type": "gru"} | fields, indent=2) + "\n")
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
        return
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def save_constants(model, generator):
    """A folder as pyvene saves one: an intervention with a constant, whose values are in the archive beside config.json."""
    config = pyvene.IntervenableConfig([pyvene.RepresentationConfig(0, "block_output", intervention_type=pyvene.AdditionIntervention,
                                                                    source_representation=torch.randn(16, generator=generator))])
    with contextlib.redirect_stdout(io.StringIO()):
        pyvene.IntervenableModel(config, model).save(str(HERE / "saved_constants"))


def save_file_of_constants(generator):
    """For both representations of an experiment: units [2, 16], and a vector."""
    save_file({"0": torch.randn(2, 16, generator=generator), "1": torch.randn(16, generator=generator)}, HERE / "constants.safetensors")


def check_pair_reading(model, port, grid):
    """pyvene's own reading of two ints under "base" is (source, base), so it acts on one position."""
    case = next(case for case in grid if case["name"] == "gpt2_two_ints_are_two_positions")
    experiment = Experiment(case, port)
    intervenable = pyvene.IntervenableModel(pyvene_side.config_of(experiment), model)
    _, as_pair = intervenable(port.arguments(experiment.base), [port.arguments(experiment.sources[0])], {"sources->base": [1, 2]})
    two_positions = oracle.run(model, experiment)
    assert difference({"intervened": two_positions["intervened"]}, {"intervened": port.primary(as_pair)}) > 1e-3


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    grid = cases.make(ports.PORTS, SEED)
    models = {}
    for port in ports.PORTS:
        model = models[port.name] = ports.randomized(port.build(), generator)
        save_model(model, port)
    save_constants(models["gpt2"], generator)
    save_file_of_constants(generator)
    check_pair_reading(models["gpt2"], ports.PORTS[0], grid)
    expected, problems, notes = {}, [], collections.Counter()
    for case in grid:
        port = next(port for port in ports.PORTS if port.name == case["model"])
        model, experiment = models[port.name], Experiment(case, port)
        mine = without_padding(oracle.run(model, experiment), experiment)
        fault = pyvene_side.known_fault(experiment)
        try:
            theirs = without_padding(pyvene_side.run(model, experiment), experiment)
            apart, trouble = difference(mine, theirs), ""
        except Exception as error:  # whatever pyvene throws: it cannot do this case
            theirs, apart, trouble = None, float("inf"), f"{type(error).__name__}: {error}"
        if "original" in mine and difference({"intervened": mine["original"]}, mine) < 1e-4 and not experiment.collects:
            problems.append(f"{case['name']}: the intervention changes nothing")
        if (apart <= TOLERANCE) == (fault is not None):
            problems.append(f"{case['name']}: {apart} apart from pyvene {trouble[:150]}; known fault: {fault}")
        case |= {"oracle": "pytorch", "note": fault} if fault else {"oracle": "pyvene", "note": "pyvene and hooks by hand agree"}
        notes[case["note"]] += 1
        for name, tensor in (theirs if fault is None and theirs is not None else mine).items():
            expected[f"{case['name']}.{name}"] = tensor.contiguous()
    for problem in problems:
        print(problem, file=sys.stderr)
    for note, count in notes.most_common():
        print(f"{count:5} {note}")
    if problems:
        sys.exit(f"{len(problems)} of {len(grid)} cases are not as expected")
    with open(HERE / "cases.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in grid) + "\n]\n")
    save_file(expected, HERE / "expected.safetensors")
    print(f"{len(grid)} cases")


if __name__ == "__main__":
    main()
