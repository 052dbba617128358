// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama with scaled embeddings, norms that multiply by 1 + weight, and a tanh-formed GELU, which early configs call
// plain "gelu".
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {.head_dim = 256,
                                              .max_position_embeddings = 8192,
                                              .hidden_act = "gelu_pytorch_tanh",
                                              .tie_word_embeddings = true,
                                              .norm = NormKind::kRmsOffset});
  options.hidden_act = config.text("hidden_activation", options.hidden_act);
  if (options.hidden_act == "gelu") options.hidden_act = "gelu_pytorch_tanh";
  options.attention_bias = options.attention_output_bias = config.boolean("attention_bias", false);
  options.embedding_scale = std::sqrt(static_cast<double>(options.hidden_size));
  return options;
}

}  // namespace

Family gemma_family() {
  return member<read>("gemma");
}

}  // namespace vene::models
