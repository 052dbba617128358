// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama that norms each head's queries and keys, with windows on its upper layers if they are switched on.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(
      config, {.head_dim = 128, .max_position_embeddings = 32768, .query_key_norm = QueryKeyNorm::kEachHead});
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  options.windows = qwen_windows(config, options.num_hidden_layers);
  return options;
}

}  // namespace

Family qwen3_family() {
  return member<read>("qwen3");
}

}  // namespace vene::models
