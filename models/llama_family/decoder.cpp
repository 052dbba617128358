// SPDX-License-Identifier: Apache-2.0
// The Llama family as a decoder: what its options must be, and its parts.
#include "models/common/checks.h"
#include "models/common/rotary.h"
#include "models/llama_family/blocks.h"
#include "vene/base/error.h"

namespace vene::models {
namespace {

LlamaOptions checked(LlamaOptions options) {
  if (options.num_key_value_heads == 0) options.num_key_value_heads = options.num_attention_heads;
  check_positive({{"vocab_size", options.vocab_size},
                  {"hidden_size", options.hidden_size},
                  {"intermediate_size", options.intermediate_size},
                  {"num_hidden_layers", options.num_hidden_layers},
                  {"num_attention_heads", options.num_attention_heads},
                  {"num_key_value_heads", options.num_key_value_heads},
                  {"max_position_embeddings", options.max_position_embeddings}});
  if (options.head_dim == 0) {
    check_multiple({"hidden_size", options.hidden_size}, {"num_attention_heads", options.num_attention_heads});
    options.head_dim = options.hidden_size / options.num_attention_heads;
  }
  check_positive({{"head_dim", options.head_dim}});
  if (options.head_dim % 2 != 0)
    throw ModelError("head_dim " + std::to_string(options.head_dim) + " is odd, and rotary positions turn pairs");
  check_multiple({"num_attention_heads", options.num_attention_heads},
                 {"num_key_value_heads", options.num_key_value_heads});
  const bool windowed = !options.windows.empty();
  if (windowed && static_cast<std::int64_t>(options.windows.size()) != options.num_hidden_layers) {
    throw ModelError("windows are given for " + std::to_string(options.windows.size()) +
                     " layers, num_hidden_layers is " + std::to_string(options.num_hidden_layers));
  }
  for (const std::int64_t window : options.windows) {
    if (window < 0) throw ModelError("sliding_window: expected a positive number, got " + std::to_string(window));
  }
  return options;
}

DecoderParts parts(const LlamaOptions& options) {
  return {.sizes = {.vocabulary = options.vocab_size,
                    .context = options.max_position_embeddings,
                    .width = options.hidden_size,
                    .mlp_width = options.intermediate_size,
                    .heads = options.num_attention_heads,
                    .key_value_heads = options.num_key_value_heads,
                    .head_width = options.head_dim},
          .names = {.body = "model",
                    .tokens = "embed_tokens",
                    .embedding = "embedding",
                    .layers = "layers",
                    .norm = "norm",
                    .attention = "self_attn",
                    .query = "q_proj",
                    .key = "k_proj",
                    .value = "v_proj",
                    .mixed = "o_proj",
                    .activation = "act_fn"},
          .tokens = llama_blocks::TokenEmbedding(options.vocab_size, options.hidden_size, options.embedding_scale),
          .blocks = decoder_blocks<llama_blocks::Block>(options, options.num_hidden_layers),
          .norm = llama_blocks::Norm(options.norm, options.hidden_size, options.rms_norm_eps),
          .head = options.language_model_head,
          .tied_head = options.tie_word_embeddings,
          .logit_cap = options.logit_cap,
          .windows = options.windows,
          .turning = Turning(options.rotary, options.head_dim),
          .rotary_in_float32 = options.rotary_in_float32};
}

}  // namespace

Llama::Llama(const LlamaOptions& options) : options_(checked(options)) {
  assemble(parts(options_));
}

}  // namespace vene::models
