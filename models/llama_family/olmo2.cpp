// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama with norms after attention and MLP, and with normed queries and keys.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {.rms_norm_eps = 1e-5,
                                              .norm = NormKind::kRmsWide,
                                              .norm_placement = NormPlacement::kAfter,
                                              .query_key_norm = QueryKeyNorm::kWhole,
                                              .rotary_in_float32 = true});
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  return options;
}

}  // namespace

Family olmo2_family() {
  return member<read>("olmo2");
}

}  // namespace vene::models
