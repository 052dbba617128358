// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/read.h"

#include "models/common/rotary.h"
#include "vene/base/error.h"

namespace vene::models::llama_blocks {

LlamaOptions read_common(const ConfigReader& config, LlamaOptions options) {
  options.architecture = config.text("model_type");
  options.vocab_size = config.integer("vocab_size");
  options.hidden_size = config.integer("hidden_size");
  options.intermediate_size = config.integer("intermediate_size");
  options.num_hidden_layers = config.integer("num_hidden_layers");
  options.num_attention_heads = config.integer("num_attention_heads");
  options.num_key_value_heads = config.integer("num_key_value_heads", options.num_key_value_heads);
  options.head_dim = config.integer("head_dim", options.head_dim);
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  if (options.norm != NormKind::kLayer) options.rms_norm_eps = config.number("rms_norm_eps", options.rms_norm_eps);
  options.hidden_act = config.text("hidden_act", options.hidden_act);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", options.tie_word_embeddings);
  options.rotary = read_rotary(config, options.max_position_embeddings, options.rotary);
  return options;
}

std::vector<std::int64_t> layer_windows(const ConfigReader& config, std::int64_t layers, std::int64_t window,
                                        const std::function<bool(std::int64_t)>& slides) {
  std::vector<std::string> types = config.texts("layer_types");
  if (!config.has("layer_types")) {
    for (std::int64_t layer = 0; layer < layers; ++layer)
      types.emplace_back(window != 0 && slides(layer) ? "sliding_attention" : "full_attention");
  }
  const std::string where = config.where() + ": field 'layer_types' ";
  if (static_cast<std::int64_t>(types.size()) != layers) {
    throw ModelError(where + "tells of " + std::to_string(types.size()) + " layers, num_hidden_layers is " +
                     std::to_string(layers));
  }
  std::vector<std::int64_t> windows;
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      throw ModelError(
          where + "has '" + type +
          "', which this architecture does not support here; expected full_attention or sliding_attention");
    }
    if (type == "sliding_attention" && window == 0)
      throw ModelError(where + "has sliding_attention, and no sliding_window is in use");
    windows.push_back(type == "sliding_attention" ? window : 0);
  }
  return windows;
}

std::vector<std::int64_t> qwen_windows(const ConfigReader& config, std::int64_t layers) {
  constexpr std::int64_t kWindow = 4096, kFirst = 28;
  const std::int64_t given = integer_or_null(config, "sliding_window", kWindow),
                     first = config.integer("max_window_layers", kFirst);
  const std::int64_t window = config.boolean("use_sliding_window", false) ? given : 0;
  return layer_windows(config, layers, window, [&](std::int64_t layer) { return layer >= first; });
}

std::int64_t integer_or_null(const ConfigReader& config, const std::string& field, std::int64_t otherwise) {
  return config.integer(field, config.is_null(field) ? 0 : otherwise);
}

double number_or_null(const ConfigReader& config, const std::string& field, double otherwise) {
  return config.number(field, config.is_null(field) ? 0 : otherwise);
}

}  // namespace vene::models::llama_blocks
