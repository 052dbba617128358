# SPDX-License-Identifier: Apache-2.0
"""Writes the archives of this directory with torch.save, and beside each what it holds: every tensor, contiguous, in
NAME.safetensors, and the whole structure in NAME.json (see `described`).

    python make_archives.py

Made with python 3.11, torch 2.15, safetensors 0.8.
"""
import collections
import json
import os
import pathlib

import safetensors
import torch
from safetensors.torch import save_file

assert torch.__version__.startswith("2.15."), torch.__version__
assert safetensors.__version__.startswith("0.8."), safetensors.__version__
HERE = pathlib.Path(__file__).parent


def described(value, tensors, path):
    """JSON of a value, each kind told from the others; tensors go to `tensors` under their path."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().clone(memory_format=torch.contiguous_format)
        # The format has no complex numbers of 128 and 32 bits: they are given as their parts.
        tensors[path] = torch.view_as_real(plain) if value.dtype in (torch.complex128, torch.complex32) else plain
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[described(k, tensors, path), described(v, tensors, f"{path}.{k}" if path else str(k))] for k, v in value.items()]}
    if isinstance(value, (list, tuple, torch.Size)):
        return {"list": [described(v, tensors, f"{path}.{i}" if path else str(i)) for i, v in enumerate(value)]}
    if isinstance(value, (set, frozenset)):
        return {"list": [described(v, tensors, path) for v in value]}
    if isinstance(value, torch.dtype):
        return str(value)
    return value


def write(name, value, protocol=2, structure=None, zipped=True):
    torch.save(value, HERE / f"{name}.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    tensors = {}
    shape = described(value if structure is None else structure, tensors, "")
    (HERE / f"{name}.json").write_text(json.dumps(shape, ensure_ascii=False) + "\n")
    if tensors:
        save_file(tensors, HERE / f"{name}.safetensors")


def numbers(*shape):
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape) / 4 - 1


def state_dict():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2, bias=False))
    return model.state_dict()  # an OrderedDict with _metadata


def every_dtype():
    values = {}
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                  torch.float8_e5m2, torch.float8_e4m3fn):
        values[str(dtype)] = numbers(2, 5).mul(8 if not dtype.is_floating_point else 1).to(dtype)
    for dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64):
        values[str(dtype)] = torch.tensor([0, 1, 127, 255]).to(dtype)
    values["torch.uint16"] = torch.tensor([0, 1, 40000, 65535]).to(torch.uint16)
    values["torch.bool"] = torch.tensor([True, False, True])
    for dtype in (torch.complex64, torch.complex128, torch.complex32):
        values[str(dtype)] = torch.complex(numbers(3), -numbers(3)).to(dtype)
    return values


def views():
    base = numbers(4, 6)
    return {
        "base": base,
        "row": base[1],
        "block": base[1:3, 2:5],
        "transposed": base.t(),
        "every_second": base[:, ::2],
        "permuted": numbers(2, 3, 4).permute(2, 0, 1),
        "expanded": numbers(3, 1).expand(3, 4),
        "scalar": torch.tensor(2.5),
        "element": base[2, 3],
        "empty": torch.empty(0),
        "empty_rows": torch.empty(3, 0, 2, dtype=torch.int64),
        "parameter": torch.nn.Parameter(numbers(2, 2)),
        "with_gradient": numbers(2).requires_grad_(),
        "again": base,
    }


def containers():
    shared = [1, 2]
    return {
        "none": None, "true": True, "false": False, "zero": 0, "byte": 255, "word": 65535, "negative": -7, "long": 2**40,
        "lowest": -2**63, "highest": 2**63 - 1, "float": 0.1, "text": "née Ωμέγα 🙂", "empty_text": "", "long_text": "ab" * 200,
        "list": [1, [2, [3, []]]], "tuple": (1,), "tuples": ((), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "size": torch.Size([2, 3]),
        "set": {5}, "dict": {"inner": {3: "three", None: "nothing", (1, 2): [torch.ones(2)]}}, "shared": [shared, shared],
        "ordered": collections.OrderedDict([("b", 1), ("a", torch.zeros(1, dtype=torch.int8))]), "dtype": torch.bfloat16, "many": list(range(20)),
    }


class Command:
    def __reduce__(self):
        return os.system, ("touch should_not_exist",)


write("state_dict", state_dict())
write("dtypes", every_dtype())
write("views", views())
write("training_state", {"weight": numbers(2, 3), "global_step": 1200, "bias": numbers(3), "note": "x", "schedule": None, "rates": [0.1, {"a": 2}]})
write("wrapped", {"epoch": 3, "state_dict": {"weight": numbers(2, 3), "bias": numbers(3)}, "optimizer": None})
for protocol in (2, 3, 4, 5):
    write(f"containers_{protocol}", containers(), protocol)
torch.save({"weight": torch.ones(1), "command": Command()}, HERE / "command.pt")  # asks for posix.system
for name, value in (("state_dict", state_dict()), ("views", views()), ("containers", containers()), ("dtypes", every_dtype())):
    write(f"legacy_{name}", value, zipped=False)  # as before PyTorch 1.6
writable = {name: value for name, value in every_dtype().items() if value.dtype not in (torch.complex128, torch.complex32)}
save_file(writable | {"empty": torch.empty(0, 4), "scalar": torch.tensor(7)}, HERE / "reference_writer.safetensors", metadata={"format": "pt"})
