#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Needs: python 3, torch, transformers 5, safetensors.
"""Saves what transformers computes inside a model, for `vene verify` to compare with.

    python scripts/reference_activations.py DIR -o acts.safetensors [-p TEXT] [-p TEXT] [--ids 1,2,3] [--round bfloat16]
    vene verify -m DIR --reference acts.safetensors

The file holds input_ids and attention_mask, one row a text, padded on the left; logits and/or last_hidden_state; and the
value at every named site, "<component>" or "<component>.<layer>", in float32 and eager attention, with position ids made
from the mask. Values at padded positions mean nothing. Without texts or ids, and without a tokenizer, the ids are random.
With --round the weights are rounded to a half type first: what `vene verify --dtype` of that type is to be compared with.
"""
import argparse
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
TEXTS = ["The Space Needle is in downtown Seattle, and the Colosseum is in Rome.", "Once upon a time there was a girl who", "1, 2, 3,"]


def third(part):
    """Query, key or value (0, 1, 2) of a joined layer that keeps all queries, all keys and all values together."""
    return lambda value: value.chunk(3, -1)[part]


def heads_third(heads, part):
    """The same of one that keeps the three of each head side by side."""
    return lambda value: value.view(*value.shape[:-1], heads, -1).chunk(3, -1)[part].flatten(-2)


def block_sites(layer, block, attention, projection, queries, keys, values, mlp, activation):
    """Where a block's components are: (module, "in" or "out", and how to take a part of the value if it is one)."""
    return {
        f"block_input.{layer}": (block, "in"),
        f"block_output.{layer}": (block, "out"),
        f"attention_input.{layer}": (attention, "in"),
        f"attention_output.{layer}": (attention, "out"),
        f"attention_value_output.{layer}": (projection, "in"),
        f"query_output.{layer}": queries,
        f"key_output.{layer}": keys,
        f"value_output.{layer}": values,
        f"mlp_input.{layer}": (mlp, "in"),
        f"mlp_activation.{layer}": (activation, "out"),
        f"mlp_output.{layer}": (mlp, "out"),
    }


def gpt2_sites(model):
    body = getattr(model, "transformer", model)
    sites = {"embedding": (body.drop, "out"), "final_norm": (body.ln_f, "out")}
    for layer, block in enumerate(body.h):
        parts = [(block.attn.c_attn, "out", third(part)) for part in range(3)]
        sites |= block_sites(layer, block, block.attn, block.attn.c_proj, *parts, block.mlp, block.mlp.act)
    return sites


def gpt_neo_sites(model):
    body = getattr(model, "transformer", model)
    sites = {"embedding": (body.drop, "out"), "final_norm": (body.ln_f, "out")}
    for layer, block in enumerate(body.h):
        inner = block.attn.attention
        parts = [(projection, "out") for projection in (inner.q_proj, inner.k_proj, inner.v_proj)]
        sites |= block_sites(layer, block, block.attn, inner.out_proj, *parts, block.mlp, block.mlp.act)
    return sites


def gpt_neox_sites(model):
    body = getattr(model, "gpt_neox", model)
    sites = {"embedding": (body.emb_dropout, "out"), "final_norm": (body.final_layer_norm, "out")}
    for layer, block in enumerate(body.layers):
        attention = block.attention
        parts = [(attention.query_key_value, "out", heads_third(model.config.num_attention_heads, part)) for part in range(3)]
        sites |= block_sites(layer, block, attention, attention.dense, *parts, block.mlp, block.mlp.act)
    return sites


def llama_sites(model):
    body = getattr(model, "model", model)
    sites = {"embedding": (body.embed_tokens, "out"), "final_norm": (body.norm, "out")}
    for layer, block in enumerate(body.layers):
        attention = block.self_attn
        parts = [(projection, "out") for projection in (attention.q_proj, attention.k_proj, attention.v_proj)]
        sites |= block_sites(layer, block, attention, attention.o_proj, *parts, block.mlp, block.mlp.act_fn)
    return sites


def bert_sites(model):
    body = getattr(model, "bert", model)
    sites = {"embedding": (body.embeddings, "out")}
    if hasattr(model, "cls"):
        sites["final_norm"] = (model.cls.predictions.transform, "out")
    return sites | encoder_sites(body)


def esm_sites(model):
    body = getattr(model, "esm", model)
    norm = model.lm_head.layer_norm if hasattr(model, "lm_head") else body.encoder.emb_layer_norm_after
    return {"embedding": (body.embeddings, "out"), "final_norm": (norm, "out")} | encoder_sites(body)


def encoder_sites(body):
    sites = {}
    for layer, block in enumerate(body.encoder.layer):
        inner = block.attention.self
        parts = [(projection, "out") for projection in (inner.query, inner.key, inner.value)]
        sites |= block_sites(layer, block, inner, block.attention.output.dense, *parts, block.intermediate, block.intermediate)
        sites |= {f"attention_output.{layer}": (block.attention.output.dropout, "out"), f"mlp_output.{layer}": (block.output.dropout, "out")}
    return sites


SITES = {"bert": bert_sites, "esm": esm_sites, "gpt2": gpt2_sites, "gpt_neo": gpt_neo_sites, "gpt_neox": gpt_neox_sites}
SITES |= dict.fromkeys(["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo", "olmo2"], llama_sites)
MASKED = ("bert", "esm")  # language models that fill gaps


def run(model, inputs):
    if "attention_mask" not in inputs:
        return model(**inputs, return_dict=True)
    if model.config.model_type == "esm":  # which counts tokens that are not padding by itself
        return model(**inputs)
    positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    return model(**inputs, position_ids=positions, use_cache=False)


def capture(model, sites, inputs):
    """Runs the model in eager attention and keeps what passes its sites, and its output."""
    values = {}

    def keep(name, side, part=None):
        def hook(_, arguments, keywords, *result):
            value = result[0] if side == "out" else (arguments[0] if arguments else keywords["hidden_states"])
            value = value[0] if isinstance(value, tuple) else value
            values[name] = (part(value) if part else value).detach().clone().contiguous()
        return hook

    hooks = []
    for name, (module, side, *part) in sites.items():
        register = module.register_forward_pre_hook if side == "in" else module.register_forward_hook
        hooks.append(register(keep(name, side, *part), with_kwargs=True))

    # Eager attention calls softmax once a layer: its argument and result are the scores and the pattern.
    softmax, calls = torch.nn.functional.softmax, []

    def recording(value, *arguments, **keywords):
        result = softmax(value, *arguments, **keywords)
        calls.append((value.detach().clone(), result.detach().clone()))
        return result

    torch.nn.functional.softmax = recording
    try:
        output = run(model, inputs)
    finally:
        torch.nn.functional.softmax = softmax
        for hook in hooks:
            hook.remove()
    attention_layers = getattr(model.config, "num_hidden_layers", 0)
    assert len(calls) == attention_layers, "softmax was called elsewhere too"
    for layer, (scores, pattern) in enumerate(calls):
        values[f"attention_scores.{layer}"], values[f"attention_pattern.{layer}"] = scores, pattern
    for name in ("logits", "last_hidden_state"):
        if name in output:
            values[name] = output[name].detach().clone()
    return values


def fits(model, dtype):
    """Whether every weight is a number of this type."""
    return all(torch.equal(parameter.to(dtype).float(), parameter) for parameter in model.parameters())


def round_weights(model, dtype):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype))


def token_id(text, vocabulary):
    if not text.strip().isdecimal() or int(text) >= vocabulary:
        sys.exit(f"--ids: expected token ids from 0 to {vocabulary - 1}, joined by commas, got '{text}'")
    return int(text)


def token_rows(folder, texts, ids, vocabulary):
    if ids:
        return [[token_id(token, vocabulary) for token in row.split(",")] for row in ids]
    has_tokenizer = any((folder / name).exists() for name in ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model"))
    if texts and not has_tokenizer:
        sys.exit(f"{folder}: no tokenizer here; give --ids")
    if not has_tokenizer:
        generator = torch.Generator().manual_seed(0)
        return [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in (12, 7, 9)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text)["input_ids"] for text in texts or TEXTS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="Hugging Face checkpoint folder")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="safetensors file to write")
    parser.add_argument("-p", "--prompt", action="append", help="a text; repeat for several rows")
    parser.add_argument("--ids", action="append", help="token ids such as 1,2,3 instead; repeat for several rows")
    parser.add_argument("--round", choices=HALF, help="round the weights to this type first; the computing stays in float32")
    options = parser.parse_args()
    if not (options.folder / "config.json").is_file():
        sys.exit(f"{options.folder}: expected a Hugging Face checkpoint folder, there is no config.json")
    config = transformers.AutoConfig.from_pretrained(options.folder)
    if config.model_type not in SITES:
        sys.exit(f"{options.folder}: the sites of model_type '{config.model_type}' are not known here; known: {', '.join(SITES)}")
    with_head = transformers.AutoModelForMaskedLM if config.model_type in MASKED else transformers.AutoModelForCausalLM
    headless = not any(name.endswith(("LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForPreTraining")) for name in config.architectures or ["ForCausalLM"])
    loader = transformers.AutoModel if headless else with_head
    model = loader.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="eager").eval()
    metadata = {"transformers": transformers.__version__, "model_type": config.model_type}
    if options.round and not fits(model, HALF[options.round]):
        round_weights(model, HALF[options.round])
        metadata["weights_rounded_to"] = options.round
    metadata["weights_fit"] = ",".join(name for name, dtype in HALF.items() if fits(model, dtype))
    rows = token_rows(options.folder, options.prompt, options.ids, config.vocab_size)
    length = max(map(len, rows))
    padding = getattr(config, "pad_token_id", None) or 0
    inputs = {"input_ids": torch.tensor([[padding] * (length - len(row)) + row for row in rows]),
              "attention_mask": torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])}
    with torch.no_grad():
        values = capture(model, SITES[config.model_type](model), inputs)
    save_file(values | inputs, options.output, metadata)
    print(f"{options.output}: {len(values)} values of {len(rows)} rows, {length} positions")


if __name__ == "__main__":
    main()
