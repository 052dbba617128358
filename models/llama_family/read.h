// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>

#include "models/common/config_reader.h"
#include "models/registry.h"
#include "vene/models/llama.h"

namespace vene::models::llama_blocks {

/// What all of the family say in the same words in config.json: sizes, activation, epsilon, rotary positions, tied
/// head. `options` has the defaults, and keeps what is not said.
LlamaOptions read_common(const ConfigReader& config, LlamaOptions options);

/// The window of each layer, 0 for none, by layer_types ("full_attention", "sliding_attention"); without that field,
/// layer i slides where `slides(i)` says so. `window` is 0 where the config has none. ModelError for another type, a
/// list of another length, and sliding without a window.
std::vector<std::int64_t> layer_windows(const ConfigReader& config, std::int64_t layers, std::int64_t window,
                                        const std::function<bool(std::int64_t)>& slides);
/// Qwen's: none unless use_sliding_window is on; then, without layer_types, from layer max_window_layers on.
std::vector<std::int64_t> qwen_windows(const ConfigReader& config, std::int64_t layers);

/// A whole number that may be null in the file: null is 0, absent is `otherwise`. The same for numbers.
std::int64_t integer_or_null(const ConfigReader& config, const std::string& field, std::int64_t otherwise);
double number_or_null(const ConfigReader& config, const std::string& field, double otherwise);

/// A member of the family, by its reading of config.json.
template <LlamaOptions (*read)(const ConfigReader&)>
Family member(const std::string& model_type) {
  const auto build = [](const ConfigReader& config, bool head) -> std::shared_ptr<Model> {
    LlamaOptions options = read(config);
    options.language_model_head = head;
    return std::make_shared<Llama>(options);
  };
  return {model_type, "model.", build, {".rotary_emb.inv_freq"}};
}

}  // namespace vene::models::llama_blocks
