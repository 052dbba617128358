// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Gemma with norms on both sides, soft caps on scores and logits, a scale of its own for queries, and a window on every
// other layer.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {.head_dim = 256,
                                              .max_position_embeddings = 8192,
                                              .tie_word_embeddings = true,
                                              .norm = NormKind::kRmsOffset,
                                              .norm_placement = NormPlacement::kBoth});
  constexpr double kQueryScalar = 256, kScoreCap = 50, kLogitCap = 30;
  constexpr std::int64_t kWindow = 4096;
  options.hidden_act = config.text("hidden_activation", "gelu_pytorch_tanh");
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  options.embedding_scale = std::sqrt(static_cast<double>(options.hidden_size));
  options.attention_scale =
      1 / std::sqrt(config.has("query_pre_attn_scalar") ? config.positive("query_pre_attn_scalar") : kQueryScalar);
  options.attention_cap = number_or_null(config, "attn_logit_softcapping", kScoreCap);
  options.logit_cap = number_or_null(config, "final_logit_softcapping", kLogitCap);
  const std::int64_t window = integer_or_null(config, "sliding_window", kWindow);
  options.windows =
      layer_windows(config, options.num_hidden_layers, window, [](std::int64_t layer) { return layer % 2 == 0; });
  return options;
}

}  // namespace

Family gemma2_family() {
  return member<read>("gemma2");
}

}  // namespace vene::models
