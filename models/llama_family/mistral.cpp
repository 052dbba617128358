// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

namespace vene::models {
namespace {

using namespace llama_blocks;

// Llama whose every layer has a sliding window, or none has.
LlamaOptions read(const ConfigReader& config) {
  LlamaOptions options = read_common(config, {.num_key_value_heads = 8, .max_position_embeddings = 131072});
  constexpr std::int64_t kWindow = 4096;
  const std::int64_t window = integer_or_null(config, "sliding_window", kWindow);
  options.windows.assign(static_cast<std::size_t>(options.num_hidden_layers), window);
  return options;
}

}  // namespace

Family mistral_family() {
  return member<read>("mistral");
}

}  // namespace vene::models
