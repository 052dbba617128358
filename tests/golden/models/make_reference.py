# SPDX-License-Identifier: Apache-2.0
# Made with: python 3, torch 2.15, transformers 5.23, safetensors; numpy is not needed.
"""Writes the reference folders of this directory: config.json, model.safetensors and reference.safetensors each.

    python make_reference.py [name ...]

A reference holds input_ids and attention_mask of three rows (whole, padded on the left, padded on the right), logits
and/or last_hidden_state, and the value at every named site, "<component>" or "<component>.<layer>", read off the
Hugging Face model in eager attention with position ids made from the mask. Values at padded positions mean nothing.
A further family is one entry in CASES and one function like `gpt2_sites`.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
ROWS, POSITIONS = 3, 6


def gpt2_sites(model):
    """Component -> (module, "in" or "out", and which third of its last axis, if split). Keys have their layer."""
    body = getattr(model, "transformer", model)
    sites = {"embedding": (body.drop, "out"), "final_norm": (body.ln_f, "out")}
    for layer, block in enumerate(body.h):
        sites |= {
            f"block_input.{layer}": (block, "in"),
            f"block_output.{layer}": (block, "out"),
            f"attention_input.{layer}": (block.attn, "in"),
            f"attention_output.{layer}": (block.attn.resid_dropout, "out"),
            f"attention_value_output.{layer}": (block.attn.c_proj, "in"),
            f"query_output.{layer}": (block.attn.c_attn, "out", 0),
            f"key_output.{layer}": (block.attn.c_attn, "out", 1),
            f"value_output.{layer}": (block.attn.c_attn, "out", 2),
            f"mlp_input.{layer}": (block.mlp, "in"),
            f"mlp_activation.{layer}": (block.mlp.act, "out"),
            f"mlp_output.{layer}": (block.mlp, "out"),
        }
    return sites


def gpt2(model_class=transformers.GPT2LMHeadModel, **options):
    sizes = dict(vocab_size=60, n_positions=24, n_embd=16, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
                 attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
    return model_class, transformers.GPT2Config(**(sizes | options)), gpt2_sites


CASES = {
    "gpt2_tied": lambda: gpt2(),
    "gpt2_untied": lambda: gpt2(tie_word_embeddings=False, n_inner=40, layer_norm_epsilon=1e-4),
    "gpt2_relu": lambda: gpt2(activation_function="relu", scale_attn_by_inverse_layer_idx=True),
    "gpt2_unscaled": lambda: gpt2(activation_function="gelu", scale_attn_weights=False, n_layer=2, n_head=2),
    "gpt2_headless": lambda: gpt2(transformers.GPT2Model, n_layer=2),
}


def randomize(model):
    """Weights large enough that attention is sharp, biases that are not 0, norms that are not 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.25)
            if name.endswith("weight") and parameter.dim() == 1:
                parameter.add_(1.0)


def padded_rows(vocabulary):
    ids = torch.randint(1, vocabulary, (ROWS, POSITIONS))
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    mask[2, -2:] = 0
    return ids * mask, mask


def capture(model, sites, ids, mask):
    values = {}

    def keep(name, side, third=None):
        def hook(_, arguments, keywords, *result):
            value = result[0] if side == "out" else (arguments[0] if arguments else keywords["hidden_states"])
            value = value[0] if isinstance(value, tuple) else value
            values[name] = (value if third is None else value.chunk(3, -1)[third]).detach().clone().contiguous()
        return hook

    for name, (module, side, *third) in sites.items():
        if side == "in":
            module.register_forward_pre_hook(keep(name, side, *third), with_kwargs=True)
        else:
            module.register_forward_hook(keep(name, side, *third), with_kwargs=True)

    # Eager attention calls softmax once a layer: its argument and result are the scores and the pattern.
    softmax, calls = torch.nn.functional.softmax, []

    def recording(value, *arguments, **keywords):
        result = softmax(value, *arguments, **keywords)
        calls.append((value.detach().clone(), result.detach().clone()))
        return result

    torch.nn.functional.softmax = recording
    try:
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    finally:
        torch.nn.functional.softmax = softmax
    assert len(calls) == model.config.num_hidden_layers, "softmax was called elsewhere too"
    for layer, (scores, pattern) in enumerate(calls):
        values[f"attention_scores.{layer}"], values[f"attention_pattern.{layer}"] = scores, pattern
    for name in ("logits", "last_hidden_state"):
        if name in output:
            values[name] = output[name].detach().clone()
    return values


def make(name, case):
    torch.manual_seed(sum(name.encode()))
    model_class, config, find_sites = case()
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    randomize(model)
    model.tie_weights()
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids, mask = padded_rows(config.vocab_size)
    with torch.no_grad():
        values = capture(model, find_sites(model), ids, mask)
    values |= {"input_ids": ids, "attention_mask": mask}
    save_file(values, folder / "reference.safetensors", {"transformers": transformers.__version__})
    print(name, sum(path.stat().st_size for path in folder.iterdir()), "bytes", len(values), "values")


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        make(case_name, CASES[case_name])
