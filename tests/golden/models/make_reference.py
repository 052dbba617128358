# SPDX-License-Identifier: Apache-2.0
# Made with: python 3, torch 2.15, transformers 5.23, pyvene 0.1.8 (for the MLP), safetensors.
"""Writes the reference folders of this directory: config.json, model.safetensors and reference.safetensors each.

    python make_reference.py [name ...]

A reference of a language model holds input_ids and attention_mask of three rows (whole, padded on the left, padded on
the right), logits and/or last_hidden_state, and the value at every named site, "<component>" or "<component>.<layer>",
read off the Hugging Face model in eager attention with position ids made from the mask. Values at padded positions mean
nothing. A model on plain tensors has inputs_embeds in their stead. "greedy" is the first row and the 50 tokens that
follow it, for models with room for them.
A further family is some entries in CASES and one function in scripts/reference_activations.py; the tests find its folders by themselves.
"""
import importlib.metadata
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parents[2] / "scripts"))
import decoder_families
from reference_activations import bert_sites, capture, esm_sites, gpt2_sites, llama_sites, run

ROWS, POSITIONS = 3, 6
for package, version in {"torch": "2.15", "transformers": "5.23", "pyvene": "0.1.8"}.items():
    assert importlib.metadata.version(package).startswith(version), f"made with {package} {version}"


def mlp_sites(model):
    sites = {"embedding": (model.mlp.dropout, "out")}
    for layer, block in enumerate(model.mlp.h):
        sites |= {
            f"block_input.{layer}": (block, "in"),
            f"block_output.{layer}": (block, "out"),
            f"mlp_activation.{layer}": (block.act, "out"),
        }
    return sites


def gpt2(model_class=transformers.GPT2LMHeadModel, **options):
    sizes = dict(vocab_size=60, n_positions=24, n_embd=16, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
                 attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
    return model_class, transformers.GPT2Config(**(sizes | options)), gpt2_sites


def llama(model_class=transformers.LlamaForCausalLM, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                 num_attention_heads=4, bos_token_id=0, eos_token_id=0)
    return model_class, transformers.LlamaConfig(**(sizes | options)), llama_sites


def bert(model_class=transformers.BertForMaskedLM, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=24, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4)
    return model_class, transformers.BertConfig(**(sizes | options)), bert_sites


def esm(model_class=transformers.EsmForMaskedLM, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                 pad_token_id=1, mask_token_id=27, position_embedding_type="rotary")
    return model_class, transformers.EsmConfig(**(sizes | options)), esm_sites


def mlp(**options):
    from pyvene.models.mlp.modelings_mlp import MLPConfig, MLPForClassification
    return MLPForClassification, MLPConfig(h_dim=12, n_layer=2, num_classes=3, **options), mlp_sites


# Wavelengths of 6, 11, 20 and 35 positions: one short, two between, one long.
LLAMA3 = dict(rope_type="llama3", rope_theta=10.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
LINEAR = dict(rope_type="linear", rope_theta=100.0, factor=2.5)

CASES = {
    "gpt2_tied": lambda: gpt2(),
    "gpt2_untied": lambda: gpt2(tie_word_embeddings=False, n_inner=40, layer_norm_epsilon=1e-4),
    "gpt2_relu": lambda: gpt2(activation_function="relu", scale_attn_by_inverse_layer_idx=True),
    "gpt2_unscaled": lambda: gpt2(activation_function="gelu", scale_attn_weights=False, n_layer=2, n_head=2),
    "gpt2_headless": lambda: gpt2(transformers.GPT2Model, n_layer=2),
    "llama_mha": lambda: llama(rms_norm_eps=1e-3),
    "llama_gqa_tied": lambda: llama(num_hidden_layers=3, num_key_value_heads=2, tie_word_embeddings=True,
                                    rope_parameters=dict(rope_type="default", rope_theta=50.0)),
    "llama_old_head_dim": lambda: llama(num_key_value_heads=1, head_dim=6,
                                        rope_parameters=dict(rope_type="default", rope_theta=50.0)),
    "llama_bias": lambda: llama(attention_bias=True, mlp_bias=True, hidden_act="gelu", num_key_value_heads=2),
    "llama_linear": lambda: llama(hidden_size=24, num_attention_heads=3, rope_parameters=LINEAR),
    "llama_old_linear": lambda: llama(hidden_size=24, num_attention_heads=3, rope_parameters=LINEAR),
    "llama_llama3": lambda: llama(num_attention_heads=2, max_position_embeddings=48, rope_parameters=LLAMA3),
    "llama_old_llama3": lambda: llama(num_attention_heads=2, max_position_embeddings=48, tie_word_embeddings=True,
                                      rope_parameters=LLAMA3),
    "llama_headless": lambda: llama(transformers.LlamaModel, num_key_value_heads=2),
    "bert_tied": lambda: bert(),
    "bert_untied": lambda: bert(tie_word_embeddings=False, num_hidden_layers=2, hidden_act="relu", layer_norm_eps=1e-3, type_vocab_size=3),
    "bert_headless": lambda: bert(transformers.BertModel, num_hidden_layers=2, hidden_act="gelu_new", num_attention_heads=2),
    "esm_rotary": lambda: esm(num_hidden_layers=3, token_dropout=True),
    "esm_absolute": lambda: esm(position_embedding_type="absolute", token_dropout=True, emb_layer_norm_before=True, layer_norm_eps=1e-3),
    "esm_untied": lambda: esm(tie_word_embeddings=False, num_attention_heads=2, rope_theta=50.0),
    "esm_headless": lambda: esm(transformers.EsmModel, position_embedding_type="absolute"),
    "mlp_classifier": lambda: mlp(),
    "mlp_positions": lambda: mlp(activation_function="relu", include_bias=False, squeeze_output=False),
} | decoder_families.CASES


def randomize(model):
    """Weights large enough that attention is sharp, biases that are not 0, norms that are not 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.25)
            if name.endswith("weight") and parameter.dim() == 1 and not model.config.model_type.startswith("gemma"):  # Gemma adds 1 itself
                parameter.add_(1.0)


def inputs_for(name, config):
    if name == "mlp_classifier":  # one position, whose axis is squeezed away
        return {"inputs_embeds": torch.randn(ROWS, 1, config.h_dim)}
    if name == "mlp_positions":
        return {"inputs_embeds": torch.randn(ROWS, POSITIONS, config.h_dim)}
    ids = torch.randint(1, config.vocab_size, (ROWS, POSITIONS))
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    mask[2, -2:] = 0
    padding = config.pad_token_id or 0
    if config.model_type == "esm":  # counts the two in its own way
        ids[0, 3] = ids[2, :2] = config.mask_token_id
        ids[0, 1] = padding
    return {"input_ids": ids.where(mask == 1, padding), "attention_mask": mask}


def spell_as_of_old(folder):
    """config.json as transformers 4 wrote it: rope_theta and rope_scaling, torch_dtype."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    if rope["rope_type"] == "linear":
        rope["type"] = rope.pop("rope_type")
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def greedy(model, ids):
    """The prompt and the 50 tokens that the model goes on with, where it has room for them."""
    length = ids.shape[1] + 50
    if getattr(model.config, "max_position_embeddings", 0) < length or not model.can_generate():
        return {}
    text = model.generate(ids, do_sample=False, max_length=length, min_length=length, pad_token_id=0)
    first, second = model(text).logits.topk(2, -1).values.unbind(-1)
    assert ((first - second) > 1e-4 * first.abs().max()).all(), "two tokens are too near each other: take another seed"
    return {"greedy": text}


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
    inputs = inputs_for(name, config)
    with torch.no_grad():
        values = capture(model, find_sites(model), inputs)
        if "input_ids" in inputs:
            values |= greedy(model, inputs["input_ids"][:1])
        if "_old_" in name:
            spell_as_of_old(folder)
            again = run(model_class.from_pretrained(folder, attn_implementation="eager").eval(), inputs)
            assert torch.equal(again["logits"], values["logits"])
    save_file(values | inputs, folder / "reference.safetensors", {"transformers": transformers.__version__})
    print(name, sum(path.stat().st_size for path in folder.iterdir()), "bytes", len(values), "values")


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        make(case_name, CASES[case_name])
