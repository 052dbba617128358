# SPDX-License-Identifier: Apache-2.0
"""Logits of golden folders whose config.json has another rope, at lengths within and beyond the original context.

    python make_rope.py

Writes cases.json ({name: {"folder", "set", "lengths"}}: fields to put into that folder's config.json, null takes one away) and
logits.safetensors: "NAME.LENGTH" is [3, vocabulary], the last positions after the ids (7 i + 3) mod 60.
Made with python 3.11, torch 2.15, transformers 5.24, safetensors 0.8.
"""
import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

assert torch.__version__.startswith("2.15."), torch.__version__
assert transformers.__version__.startswith("5.24."), transformers.__version__
HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / "models"

LONG, SHORT = [1.5, 2.0, 5.0, 9.0], [1.0, 1.1, 1.3, 1.7]


def parameters(kind, theta=50.0, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}, "rope_theta": None, "rope_scaling": None}


def scaling(kind, theta=50.0, spelling="type", **more):
    return {"rope_scaling": {spelling: kind, **more}, "rope_theta": theta, "rope_parameters": None}


QWEN, NEOX = "qwen3_plain", "gpt_neox_parallel"
CASES = {
    "linear": (QWEN, parameters("linear", factor=3.0)),
    "linear_old": (QWEN, scaling("linear", factor=3.0)),
    "dynamic": (QWEN, parameters("dynamic", factor=2.5) | {"max_position_embeddings": 20}),
    "dynamic_old": (QWEN, scaling("dynamic", factor=4.0) | {"max_position_embeddings": 32}),
    "yarn": (QWEN, parameters("yarn", factor=4.0, original_max_position_embeddings=16)),
    "yarn_old": (QWEN, scaling("yarn", factor=4.0, original_max_position_embeddings=16)),
    "yarn_old_new_key": (QWEN, scaling("yarn", spelling="rope_type", factor=4.0, original_max_position_embeddings=16)),
    "yarn_without_original": (QWEN, parameters("yarn", factor=4.0) | {"max_position_embeddings": 24}),
    "yarn_original_at_the_top": (QWEN, parameters("yarn", factor=4.0) | {"original_max_position_embeddings": 20}),
    "yarn_attention": (QWEN, parameters("yarn", factor=2.0, original_max_position_embeddings=16, attention_factor=1.4)),
    "yarn_betas": (QWEN, parameters("yarn", factor=8.0, original_max_position_embeddings=40, beta_fast=4, beta_slow=0.5, theta=500.0)),
    "yarn_untruncated": (QWEN, parameters("yarn", factor=8.0, original_max_position_embeddings=40, beta_fast=4, beta_slow=0.5, truncate=False)),
    "yarn_mscale": (QWEN, parameters("yarn", factor=8.0, original_max_position_embeddings=16, mscale=1.5, mscale_all_dim=0.7)),
    "yarn_null_factor": (QWEN, parameters("yarn", factor=None, original_max_position_embeddings=16) | {"max_position_embeddings": 64}),
    "longrope": (QWEN, parameters("longrope", long_factor=LONG, short_factor=SHORT, original_max_position_embeddings=20, factor=3.2)),
    "longrope_by_lengths": (QWEN, parameters("longrope", long_factor=LONG, short_factor=SHORT) | {"original_max_position_embeddings": 20}),
    "longrope_attention": (QWEN, scaling("longrope", long_factor=LONG, short_factor=SHORT, original_max_position_embeddings=20, attention_factor=1.3)),
    "llama3": (QWEN, parameters("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
    "llama3_without_original": (QWEN, parameters("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)),
    "llama3_original_at_the_top": (QWEN, scaling("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0) | {"original_max_position_embeddings": 16}),
    "proportional": (QWEN, parameters("proportional", partial_rotary_factor=0.5)),
    "proportional_factor": (QWEN, parameters("proportional", partial_rotary_factor=0.8, factor=2.0)),
    "neox_yarn": (NEOX, parameters("yarn", factor=4.0, original_max_position_embeddings=16, partial_rotary_factor=0.5)),
    "neox_dynamic": (NEOX, parameters("dynamic", factor=4.0, partial_rotary_factor=0.5) | {"max_position_embeddings": 16}),
    "beyond": (QWEN, {"max_position_embeddings": 24}),
}
LENGTHS = [12, 40, 70]

logits, described = {}, {}
for name, (folder, fields) in CASES.items():
    config = json.loads((MODELS / folder / "config.json").read_text())
    for field, value in fields.items():
        config.pop(field, None) if value is None else config.update({field: value})
    described[name] = {"folder": folder, "set": fields, "lengths": LENGTHS}
    for length in LENGTHS:  # a model a length: transformers' dynamic rope remembers the longest text it has seen
        with tempfile.TemporaryDirectory() as place:
            pathlib.Path(place, "config.json").write_text(json.dumps(config))
            save_file(load_file(MODELS / folder / "model.safetensors"), pathlib.Path(place, "model.safetensors"), metadata={"format": "pt"})
            model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, attn_implementation="eager").eval()
        ids = (7 * torch.arange(length) + 3).remainder(60)[None]
        with torch.no_grad():
            logits[f"{name}.{length}"] = model(ids, use_cache=False).logits[0, -3:].contiguous()
(HERE / "cases.json").write_text(json.dumps(described, indent=1) + "\n")
save_file(logits, HERE / "logits.safetensors")
