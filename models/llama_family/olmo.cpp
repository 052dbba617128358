// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama with norms that have no parameters, and optionally with queries, keys and values cut to a magnitude.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options =
      read_common(config, {.rms_norm_eps = 1e-5, .norm = NormKind::kLayer, .rotary_in_float32 = true});
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  options.clip_qkv = config.number("clip_qkv", 0);
  return options;
}

}  // namespace

Family olmo_family() {
  return member<read>("olmo");
}

}  // namespace vene::models
