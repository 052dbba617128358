// SPDX-License-Identifier: Apache-2.0
// What files that hold inputs (experiments, training specs) read alike.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/base/json_reader.h"
#include "vene/core/plan.h"
#include "vene/models/load.h"

namespace vene::detail {

/// {"text": ...}, {"input_ids": ..., "attention_mask": ...} or {"inputs_embeds": ...}.
models::Batch read_batch(JsonReader json, const models::LanguageModel& model);
/// null, ids for all, or one entry a representation: null, ids, or a list of ids a row.
std::vector<std::optional<SubspaceIds>> read_subspaces(const JsonReader& json);
/// An IntervenableConfig in place, or the path of a saved folder or file, which goes into `from`.
IntervenableConfig read_config(const JsonReader& json, const InterventionRegistry& registry, const std::string& folder,
                               std::string& from);

}  // namespace vene::detail
