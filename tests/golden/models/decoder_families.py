# SPDX-License-Identifier: Apache-2.0
"""Tiny models of the decoder families for make_reference.py: a case for every option."""
import transformers
from reference_activations import gpt_neo_sites, gpt_neox_sites, llama_sites


def gpt_neox(rope=None, model_class=transformers.GPTNeoXForCausalLM, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                 bos_token_id=None, eos_token_id=None, rope_parameters=rope)
    return model_class, transformers.GPTNeoXConfig(**(sizes | options)), gpt_neox_sites


def gpt_neo(model_class=transformers.GPTNeoForCausalLM, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=64, hidden_size=16, num_layers=3, num_heads=4, window_size=3,
                 attention_types=[[["global", "local"], 1], [["local"], 1]], bos_token_id=None, eos_token_id=None)
    return model_class, transformers.GPTNeoConfig(**(sizes | options)), gpt_neo_sites


def llama_like(name, headless=False, **options):
    sizes = dict(vocab_size=60, max_position_embeddings=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, pad_token_id=None, bos_token_id=None, eos_token_id=None)
    config = getattr(transformers, name + "Config")(**(sizes | options))
    return getattr(transformers, name + ("Model" if headless else "ForCausalLM")), config, llama_sites


def rope(kind="default", **more):
    return dict(rope_type=kind, rope_theta=50.0) | more


FULL, SLIDING = "full_attention", "sliding_attention"
CASES = {
    "gpt_neox_parallel": lambda: gpt_neox(),
    "gpt_neox_serial": lambda: gpt_neox({"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0, "partial_rotary_factor": 0.5},
                                        use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True, hidden_act="gelu_fast"),
    "gpt_neox_headless": lambda: gpt_neox(model_class=transformers.GPTNeoXModel, hidden_size=16, num_attention_heads=2),
    "gpt_neo_tied": lambda: gpt_neo(),
    "gpt_neo_untied": lambda: gpt_neo(tie_word_embeddings=False, num_layers=2, attention_types=[[["local"], 2]], window_size=4, intermediate_size=20,
                                      activation_function="relu", layer_norm_epsilon=1e-3),
    "mistral_local": lambda: llama_like("Mistral", sliding_window=3, head_dim=6, rope_parameters=rope()),
    "mistral_plain": lambda: llama_like("Mistral", sliding_window=None, tie_word_embeddings=True),
    "qwen2_plain": lambda: llama_like("Qwen2", rope_parameters=rope()),
    "qwen2_slides": lambda: llama_like("Qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=3, max_window_layers=1,
                                        tie_word_embeddings=True),
    "qwen3_plain": lambda: llama_like("Qwen3", head_dim=8, rope_parameters=rope()),
    "qwen3_sliding": lambda: llama_like("Qwen3", head_dim=4, attention_bias=True, use_sliding_window=True, sliding_window=4,
                                        layer_types=[SLIDING, FULL], tie_word_embeddings=True, rope_parameters=rope("linear", factor=2.0)),
    "gemma_tied": lambda: llama_like("Gemma", head_dim=6, num_key_value_heads=1, rope_parameters=rope()),
    "gemma_untied": lambda: llama_like("Gemma", head_dim=4, tie_word_embeddings=False, attention_bias=True, hidden_act="gelu"),
    "gemma2_capped": lambda: llama_like("Gemma2", num_hidden_layers=3, head_dim=6, sliding_window=3, query_pre_attn_scalar=10,
                                        attn_logit_softcapping=4.0, final_logit_softcapping=6.0, rope_parameters=rope()),
    "gemma2_untied": lambda: llama_like("Gemma2", head_dim=4, sliding_window=4, layer_types=[FULL, SLIDING], query_pre_attn_scalar=16,
                                          attn_logit_softcapping=None, final_logit_softcapping=None, tie_word_embeddings=False),
    "gemma2_headless": lambda: llama_like("Gemma2", headless=True, head_dim=4, sliding_window=3),
    "olmo_plain": lambda: llama_like("Olmo", num_key_value_heads=4, rope_parameters=rope()),
    "olmo_clipped": lambda: llama_like("Olmo", clip_qkv=0.75, attention_bias=True, tie_word_embeddings=True),
    "olmo2_plain": lambda: llama_like("Olmo2", rope_parameters=rope()),
    "olmo2_tied": lambda: llama_like("Olmo2", attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3),
}
