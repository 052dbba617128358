// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama with biases on queries, keys and values, and windows on its upper layers if they are switched on.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {.max_position_embeddings = 32768, .attention_bias = true});
  options.windows = qwen_windows(config, options.num_hidden_layers);
  return options;
}

}  // namespace

Family qwen2_family() {
  return member<read>("qwen2");
}

}  // namespace vene::models
