# SPDX-License-Identifier: Apache-2.0
"""The tiny models that the grid runs on. A further port is one function and one entry in PORTS."""
import dataclasses
import typing

import torch
import transformers
from pyvene.models.gru.modelings_gru import GRUConfig, GRUForClassification
from pyvene.models.mlp.modelings_mlp import MLPConfig, MLPForClassification


@dataclasses.dataclass
class Site:
    path: str                                # of the module, with %d for the layer
    side: str                                # "in" or "out"
    third: typing.Optional[int] = None       # of a fused projection's last axis
    fused_heads: typing.Optional[int] = None  # of a fused projection that keeps the three thirds of each head side by side
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
    kinds: int = 8                           # interventions that each site is walked with, of all of them by turns
    dropout: bool = False                    # pyvene hooks attention_output at a dropout
    unmapped: bool = False                   # the wheel has no map of this architecture
    broken: typing.Dict[str, str] = dataclasses.field(default_factory=dict)  # components that pyvene cannot reach, and why
    unsized: typing.Dict[str, str] = dataclasses.field(default_factory=dict)  # whose width it cannot tell, which a function does not ask for
    unsplit: bool = False                    # it takes head_* components for the whole of their values
    narrow: typing.Tuple[str, ...] = ()      # narrower than it thinks
    recurrent: bool = False                  # sites are in cells, which are called once a step; the unit is "t"
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


def block_sites(block, heads, attention, values, mlp, activation, projections, key_value_heads=None):
    """The sites of a transformer's block. Attention and MLP: the path of what reads and adds, or of the two; values: path and side of what heads give side by
    side; projections: the sites of queries, keys and values."""
    (reads, adds), (mlp_reads, mlp_adds) = ((part, part) if isinstance(part, str) else part for part in (attention, mlp))
    places = {"block_input": ("", "in"), "block_output": ("", "out"), "mlp_input": (mlp_reads, "in"), "mlp_activation": (activation, "out"), "mlp_output": (mlp_adds, "out"),
              "attention_input": (reads, "in"), "attention_output": (adds, "out"), "attention_value_output": values}
    sites = {name: Site(f"{block}.{path}".rstrip("."), side) for name, (path, side) in places.items()} | dict(zip(("query_output", "key_output", "value_output"), projections))
    of = {name: key_value_heads or heads for name in ("key_output", "value_output")}
    return sites | {"head_" + name: dataclasses.replace(sites[name], heads=of.get(name, heads)) for name in list(sites)[-4:]}


def projections(inner, names):
    return [Site(inner + name, "out") for name in names]


def gpt2_sites(prefix, heads):
    block = prefix + "h.%d"
    return block_sites(block, heads, "attn", ("attn.c_proj", "in"), "mlp", "mlp.act", [Site(block + ".attn.c_attn", "out", third) for third in range(3)])


def llama_sites(prefix, heads, key_value_heads):
    block = prefix + "layers.%d"
    return block_sites(block, heads, "self_attn", ("self_attn.o_proj", "in"), "mlp", "mlp.act_fn", projections(block + ".self_attn.", ("q_proj", "k_proj", "v_proj")), key_value_heads)


def gpt_neo_sites(prefix, heads):
    block, inner = prefix + "h.%d", "attn.attention."
    return block_sites(block, heads, "attn", (inner + "out_proj", "in"), "mlp", "mlp.act", projections(f"{block}.{inner}", ("q_proj", "k_proj", "v_proj")))


def gpt_neox_sites(prefix, heads):
    block = prefix + "layers.%d"
    fused = [Site(block + ".attention.query_key_value", "out", third, fused_heads=heads) for third in range(3)]
    return block_sites(block, heads, "attention", ("attention.dense", "in"), "mlp", "mlp.act", fused)


def encoder_sites(prefix, heads):
    block, inner = prefix + "encoder.layer.%d", "attention.self"
    return block_sites(block, heads, (inner, "attention.output.dropout"), (inner, "out"), ("intermediate", "output.dropout"), "intermediate",
                       projections(f"{block}.{inner}.", ("query", "key", "value")))


def gru_sites():
    cell = "gru.cells.%d"
    sites = {"cell_input": Site(cell, "in"), "cell_output": Site(cell, "out")}
    for third, gate in enumerate(("reset", "update", "new")):
        sites |= {f"{gate}_gate_input": Site(f"{cell}.{gate}_act", "in"), f"{gate}_gate_output": Site(f"{cell}.{gate}_act", "out")}
        sites |= {f"{gate}_{side}_output": Site(f"{cell}.{side}", "out", third) for side in ("x2h", "h2h")}
    return sites | {f"{side}_output": Site(f"{cell}.{side}", "out") for side in ("x2h", "h2h")}


def gpt2(model_class=transformers.GPT2LMHeadModel):
    return lambda: model_class(transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=4, n_inner=24, resid_pdrop=0.0, embd_pdrop=0.0,
                                                       attn_pdrop=0.0, bos_token_id=0, eos_token_id=0))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                                                                  num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0))


def gpt_neo():
    return transformers.GPTNeoForCausalLM(transformers.GPTNeoConfig(vocab_size=20, max_position_embeddings=32, hidden_size=16, num_layers=2, num_heads=4, intermediate_size=24,
                                                                    window_size=3, attention_types=[[["global", "local"], 1]], bos_token_id=0, eos_token_id=0))


def gpt_neox():
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(vocab_size=20, max_position_embeddings=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                                                      intermediate_size=24, bos_token_id=0, eos_token_id=0))


def bert():
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                                                                max_position_embeddings=32))


def esm():
    return transformers.EsmForMaskedLM(transformers.EsmConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                                                              max_position_embeddings=32, pad_token_id=0, mask_token_id=19, token_dropout=True, emb_layer_norm_before=True))


def llama_like(name, **options):
    sizes = dict(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
                 pad_token_id=None, bos_token_id=0, eos_token_id=0)
    return lambda: getattr(transformers, name + "ForCausalLM")(getattr(transformers, name + "Config")(**(sizes | options)))


def gru():
    return GRUForClassification(GRUConfig(n_layer=2, h_dim=8, n_labels=3))


def mlp():
    return MLPForClassification(MLPConfig(h_dim=8, n_layer=2, num_classes=3, pdrop=0.0))


INPUTS = ("block_input", "mlp_input", "attention_input", "attention_value_output", "head_attention_value_output")
MLP_SITES = {"block_input": Site("mlp.h.%d", "in"), "block_output": Site("mlp.h.%d", "out"), "mlp_activation": Site("mlp.h.%d.act", "out")}

HEADS = ("head_attention_value_output", "head_query_output", "head_key_output", "head_value_output")
QUERIES_AND_SO_ON = ("query_output", "key_output", "value_output", *HEADS[1:])
SKIPS = (*INPUTS, "block_output", "mlp_output", "mlp_activation", "attention_output")
ENCODER_SKIPS = ("block_input", "block_output", "mlp_input")
PROJECTIONS = ("attention_value_output", HEADS[0], *QUERIES_AND_SO_ON)
FEW = {"kinds": 2, "share": 0.015}


def like_llama(name, build, **others):
    return Port(name, build, llama_sites("model.", 4, 2), tokens=20, width=16, keyword_attention=True,
                skips=(*SKIPS, "query_output", "head_query_output"), paths=("model.layers.1.mlp.output",),
                narrow=("key_output", "value_output"), **(FEW | others))


PORTS = [
    Port("gpt2", gpt2(), gpt2_sites("transformer.", 4), tokens=20, width=16, skips=SKIPS,
         paths=("transformer.h.1.mlp.output", "transformer.h.0.attn.input", "transformer.h.1.output"), dropout=True, share=1),
    Port("gpt2_headless", gpt2(transformers.GPT2Model), gpt2_sites("", 4), tokens=20, width=16, components=["block_output", "mlp_activation", "head_key_output"],
         skips=("block_output", "mlp_activation"), dropout=True, share=0),
    Port("llama", llama, llama_sites("model.", 4, 2), tokens=20, width=16, keyword_attention=True,
         skips=(*SKIPS, "query_output", "head_query_output"),
         paths=("model.layers.1.mlp.output", "model.layers.0.self_attn.o_proj.input", "model.layers.1.output")),
    Port("mlp", mlp, MLP_SITES, width=8, skips=("block_input", "block_output", "mlp_activation"), paths=("mlp.h.1.act.output",), position_ids=False),
    Port("gpt_neo", gpt_neo, gpt_neo_sites("transformer.", 4), tokens=20, width=16, skips=SKIPS,
         paths=("transformer.h.1.mlp.output",), broken=dict.fromkeys(PROJECTIONS, "pyvene's path of this component misses a module"), **FEW),
    Port("gpt_neox", gpt_neox, gpt_neox_sites("gpt_neox.", 4), tokens=20, width=32, skips=SKIPS,
         paths=("gpt_neox.layers.1.mlp.output",), broken=dict.fromkeys(QUERIES_AND_SO_ON, "pyvene has no such component of this architecture"), **FEW),
    like_llama("mistral", llama_like("Mistral", sliding_window=3)),
    like_llama("gemma", llama_like("Gemma", head_dim=4), unsized={"head_value_output": "pyvene misspells head_dim for this component"}),
    like_llama("gemma2", llama_like("Gemma2", head_dim=4, sliding_window=3, query_pre_attn_scalar=9, attn_logit_softcapping=4.0, final_logit_softcapping=6.0)),
    like_llama("qwen2", llama_like("Qwen2"), unsized=dict.fromkeys(HEADS, "pyvene asks this architecture's config for a head_dim that it has not")),
    like_llama("qwen3", llama_like("Qwen3", head_dim=4), unmapped=True),
    like_llama("olmo", llama_like("Olmo")),
    like_llama("olmo2", llama_like("Olmo2"), unmapped=True),
    Port("gru", gru, gru_sites(), width=8, recurrent=True, position_ids=False),
    Port("esm", esm, encoder_sites("esm.", 4), tokens=20, width=16, skips=ENCODER_SKIPS, paths=("esm.encoder.layer.1.output.dense.output",), position_ids=False,
         broken=dict.fromkeys(("attention_input", "attention_output", "mlp_output"), "pyvene has this architecture's residual stream in this component"),
         unsized={"block_output": "pyvene misspells this architecture's width of this component"} |
         dict.fromkeys(("query_output", "key_output", "value_output"), "pyvene takes this architecture's projections to be as wide as there are heads"),
         unsplit=True, **FEW),
    Port("bert", bert, encoder_sites("bert.", 4), tokens=20, width=16, skips=ENCODER_SKIPS, paths=("bert.encoder.layer.1.output.dense.output",), unmapped=True, **FEW),
]


def randomized(model, generator):
    """Weights large enough that attention is sharp, biases that are not 0, norms that are not 1."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.normal_(0.0, 0.25, generator=generator)
            if name.endswith("weight") and parameter.dim() == 1:
                parameter.add_(1.0)
    return model.eval()
