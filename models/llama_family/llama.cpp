// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {});
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  options.mlp_bias = config.boolean("mlp_bias", false);
  return options;
}

}  // namespace

Family llama_family() {
  return member<read>("llama");
}

}  // namespace vene::models
