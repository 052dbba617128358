// SPDX-License-Identifier: Apache-2.0
// What files that hold inputs (experiments, training specs) read alike.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vene/core/plan.h"
#include "vene/models/load.h"

namespace vene::detail {

inline std::string item(const std::string& path, std::size_t i) {
  return path + "[" + std::to_string(i) + "]";
}
/// Throws ConfigError for what is no object, and for a key that is none of these, with the nearest.
void only_keys(const nlohmann::json& object, const std::string& path, const std::vector<std::string>& known);
/// {"text": ...}, {"input_ids": ..., "attention_mask": ...} or {"inputs_embeds": ...}.
models::Batch read_batch(const nlohmann::json& json, const std::string& path, const models::LanguageModel& model);
/// null, ids for all, or one entry a representation: null, ids, or a list of ids a row.
std::vector<std::optional<SubspaceIds>> read_subspaces(const nlohmann::json& json, const std::string& path);

}  // namespace vene::detail
