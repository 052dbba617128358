# SPDX-License-Identifier: Apache-2.0
"""The tiny models that the grid runs on. A further port is one function and one entry in PORTS."""
import dataclasses
import typing

import torch
import transformers
from pyvene.models.mlp.modelings_mlp import MLPConfig, MLPForClassification


@dataclasses.dataclass
class Site:
    path: str                                # of the module, with %d for the layer
    side: str                                # "in" or "out"
    third: typing.Optional[int] = None       # of a fused projection's last axis
    heads: typing.Optional[int] = None       # that the value holds side by side; head_* components are in units of them


@dataclasses.dataclass
class Port:
    name: str
    build: typing.Callable                   # () -> model
    sites: typing.Dict[str, Site]
    layers: int = 2
    tokens: int = 0                          # vocabulary; 0: the model reads inputs_embeds of `width`
    width: int = 0
    components: typing.List[str] = None      # the ones that the grid walks; None: all
    skips: typing.Tuple[str, ...] = ()       # outputs of modules as wide as their input, and inputs
    keyword_attention: bool = False          # attention gets its input by keyword
    paths: typing.Tuple[str, ...] = ()       # components spelled as module paths
    position_ids: bool = True                # the model takes them
    share: float = 0.3                       # of the cases on forms, modes, sources, padding and subspaces; all sites are walked anyway

    def walked(self):
        return list(self.sites) if self.components is None else self.components

    def forward(self, model, batch):
        """A plain run: logits, or last_hidden_state of a model without a head."""
        return self.primary(model(**self.arguments(batch)))

    @staticmethod
    def primary(output):
        for name in ("logits", "last_hidden_state"):
            if getattr(output, name, None) is not None:
                return getattr(output, name).detach().clone()
        return output[0].detach().clone()

    def arguments(self, batch):
        """The model's arguments, all its own: with a mask, position ids are made from it, as the tokens of a padded row count."""
        arguments = {name: tensor.clone() for name, tensor in batch.items()}
        if "attention_mask" in batch and self.position_ids:
            arguments["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return arguments


def gpt2_sites(prefix, heads):
    block = prefix + "h.%d"
    sites = {
        "block_input": Site(block, "in"),
        "block_output": Site(block, "out"),
        "mlp_input": Site(block + ".mlp", "in"),
        "mlp_activation": Site(block + ".mlp.act", "out"),
        "mlp_output": Site(block + ".mlp", "out"),
        "attention_input": Site(block + ".attn", "in"),
        "attention_output": Site(block + ".attn", "out"),
        "attention_value_output": Site(block + ".attn.c_proj", "in"),
    }
    for third, name in enumerate(("query_output", "key_output", "value_output")):
        sites[name] = Site(block + ".attn.c_attn", "out", third)
    for name in ("attention_value_output", "query_output", "key_output", "value_output"):
        sites["head_" + name] = dataclasses.replace(sites[name], heads=heads)
    return sites


def llama_sites(prefix, heads, key_value_heads):
    block = prefix + "layers.%d"
    sites = {
        "block_input": Site(block, "in"),
        "block_output": Site(block, "out"),
        "mlp_input": Site(block + ".mlp", "in"),
        "mlp_activation": Site(block + ".mlp.act_fn", "out"),
        "mlp_output": Site(block + ".mlp", "out"),
        "attention_input": Site(block + ".self_attn", "in"),
        "attention_output": Site(block + ".self_attn", "out"),
        "attention_value_output": Site(block + ".self_attn.o_proj", "in"),
        "query_output": Site(block + ".self_attn.q_proj", "out"),
        "key_output": Site(block + ".self_attn.k_proj", "out"),
        "value_output": Site(block + ".self_attn.v_proj", "out"),
    }
    for name in ("attention_value_output", "query_output", "key_output", "value_output"):
        sites["head_" + name] = dataclasses.replace(sites[name], heads=key_value_heads if name in ("key_output", "value_output") else heads)
    return sites


def gpt2(model_class=transformers.GPT2LMHeadModel):
    return lambda: model_class(transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=4, n_inner=24, resid_pdrop=0.0, embd_pdrop=0.0,
                                                       attn_pdrop=0.0, bos_token_id=0, eos_token_id=0))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                                                                  num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0))


def mlp():
    return MLPForClassification(MLPConfig(h_dim=8, n_layer=2, num_classes=3, pdrop=0.0))


INPUTS = ("block_input", "mlp_input", "attention_input", "attention_value_output", "head_attention_value_output")
MLP_SITES = {"block_input": Site("mlp.h.%d", "in"), "block_output": Site("mlp.h.%d", "out"), "mlp_activation": Site("mlp.h.%d.act", "out")}

PORTS = [
    Port("gpt2", gpt2(), gpt2_sites("transformer.", 4), tokens=20, width=16, skips=(*INPUTS, "block_output", "mlp_output", "mlp_activation", "attention_output"),
         paths=("transformer.h.1.mlp.output", "transformer.h.0.attn.input", "transformer.h.1.output"), share=1),
    Port("gpt2_headless", gpt2(transformers.GPT2Model), gpt2_sites("", 4), tokens=20, width=16, components=["block_output", "mlp_activation", "head_key_output"],
         skips=("block_output", "mlp_activation"), share=0),
    Port("llama", llama, llama_sites("model.", 4, 2), tokens=20, width=16, keyword_attention=True,
         skips=(*INPUTS, "block_output", "mlp_output", "mlp_activation", "attention_output", "query_output", "head_query_output"),
         paths=("model.layers.1.mlp.output", "model.layers.0.self_attn.o_proj.input", "model.layers.1.output")),
    Port("mlp", mlp, MLP_SITES, width=8, skips=("block_input", "block_output", "mlp_activation"), paths=("mlp.h.1.act.output",), position_ids=False),
]


def randomized(model, generator):
    """Weights large enough that attention is sharp, biases that are not 0, norms that are not 1."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.normal_(0.0, 0.25, generator=generator)
            if name.endswith("weight") and parameter.dim() == 1:
                parameter.add_(1.0)
    return model.eval()
