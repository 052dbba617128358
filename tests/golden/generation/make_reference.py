#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes the goldens of generation: a small GPT-2 with seeded weights (config.json, model.safetensors) and what pyvene's
# generate makes of it (cases.json): greedy tokens with and without interventions.
# Needs torch 2.15.0, transformers 5.23.0, pyvene 0.1.8, safetensors.
import json
import pathlib
from importlib.metadata import version

import torch
import transformers
from safetensors.torch import save_file

assert torch.__version__.split("+")[0] == "2.15.0" and transformers.__version__ == "5.23.0" and version("pyvene") == "0.1.8"
import pyvene as pv  # noqa: E402

here = pathlib.Path(__file__).parent
torch.set_num_threads(1)
torch.manual_seed(20)
config = transformers.GPT2Config(vocab_size=48, n_positions=48, n_embd=24, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False,
                                 bos_token_id=None, eos_token_id=None, architectures=["GPT2LMHeadModel"])
model = transformers.GPT2LMHeadModel(config).eval()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        # Sharp attention, an untied head and no biases to speak of, so that texts wander and hang on what is read.
        if parameter.dim() == 2:
            parameter.normal_(0, 0.35)
        elif name.endswith("weight"):
            parameter.normal_(1, 0.2)
        else:
            parameter.normal_(0, 0.05)
save_file({k: v.clone() for k, v in model.state_dict().items()}, here / "model.safetensors", {"format": "pt"})
kept = ["architectures", "model_type", "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function", "layer_norm_epsilon",
        "scale_attn_weights", "tie_word_embeddings"]
(here / "config.json").write_text(json.dumps({key: config.to_dict()[key] for key in kept} | {"model_type": "gpt2"}, indent=2) + "\n")

WORD, PROMPTS, SOURCES = 17, [[5, 31, 8, 40], [2, 2, 19, 33]], [[7, 44, 12, 9], [30, 1, 25, 6]]
NEW = 20


def every_layer(kind, component):
    return [{"layer": layer, "component": component, "intervention_type": kind} for layer in range(config.n_layer)]


def case(name, representations, strength, **call):
    """Runs pyvene's generate; `strength` times the word's embedding is the constant source of every representation."""
    intervenable = pv.IntervenableModel(pv.IntervenableConfig([pv.RepresentationConfig(**r) for r in representations]), model)
    word = model.transformer.wte.weight[WORD].detach()
    if strength is not None:
        call["source_representations"] = word * strength
    original, intervened = intervenable.generate({"input_ids": torch.tensor(PROMPTS)}, output_original_output=True, max_new_tokens=NEW, do_sample=False,
                                                 pad_token_id=0, **call)
    names = {pv.AdditionIntervention: "addition", pv.VanillaIntervention: "vanilla"}
    return {
        "name": name,
        "representations": [{**r, "intervention_type": names[r["intervention_type"]]} for r in representations],
        "strength": strength,
        "original": original.tolist(),
        "intervened": intervened.tolist(),
    }


add, swap = pv.AdditionIntervention, pv.VanillaIntervention
sources = [{"input_ids": torch.tensor(SOURCES)}]
cases = [
    # Figure 1 of the paper: no locations, every decoding step.
    {**case("word on every MLP while decoding", every_layer(add, "mlp_output"), 0.3), "intervene_on_prompt": False, "unit_locations": None},
    {**case("a strong word on every MLP while decoding", every_layer(add, "mlp_output"), 3.0), "intervene_on_prompt": False, "unit_locations": None},
    {**case("word on every block, everywhere", every_layer(add, "block_output"), 2.0, unit_locations=None, intervene_on_prompt=True), "intervene_on_prompt": True,
     "unit_locations": None},
    {**case("word at one place of the prompt", every_layer(add, "block_output"), 4.0, unit_locations={"base": 2}, intervene_on_prompt=True), "intervene_on_prompt": True,
     "unit_locations": {"base": 2}},
    {**case("a source's value in every decoding step", [{"layer": 1, "component": "mlp_output", "intervention_type": swap}], None, sources=sources,
            unit_locations={"sources->base": (3, 0)}), "intervene_on_prompt": False, "unit_locations": {"sources->base": [3, 0]}},
    {**case("a source's value in the prompt", [{"layer": 0, "component": "block_output", "intervention_type": swap}], None, sources=sources,
            unit_locations={"sources->base": (1, 3)}, intervene_on_prompt=True), "intervene_on_prompt": True, "unit_locations": {"sources->base": [1, 3]}},
    {**case("a head's source value in the keys", [{"layer": 1, "component": "key_output", "intervention_type": swap}], None, sources=sources,
            unit_locations={"sources->base": (2, 0)}), "intervene_on_prompt": False, "unit_locations": {"sources->base": [2, 0]}},
]
for one in cases:
    assert one["original"] != one["intervened"] or one["strength"] == 0.3, one["name"]
    print(one["name"], one["original"][0][4:12], one["intervened"][0][4:12])
(here / "cases.json").write_text(json.dumps({"word": WORD, "prompts": PROMPTS, "sources": SOURCES, "new_tokens": NEW, "cases": cases}, indent=1) + "\n")
