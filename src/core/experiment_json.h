// SPDX-License-Identifier: Apache-2.0
// What files that hold inputs (experiments, training specs) read alike.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json_reader.h"
#include "vene/core/plan.h"
#include "vene/models/load.h"

namespace vene::detail {

/// A text, a list of texts, {"text": ...}, {"input_ids": ..., "attention_mask": ..., "token_type_ids": ...} or
/// {"inputs_embeds": ...}.
models::Batch read_batch(const JsonReader& json, const models::LanguageModel& model);
/// One entry a group, or a single one for all outside a list; each is null or what `read` makes of it.
std::vector<std::optional<models::Batch>> read_sources(const JsonReader& json,
                                                       const std::function<models::Batch(const JsonReader&)>& read);
/// Numbers, "zeros", or {"embedding_of": TEXT, "scale": NUMBER}: the mean of the embeddings of the text's tokens.
torch::Tensor read_constant(const JsonReader& json, const models::LanguageModel& model);
/// null, ids for all, or one entry a representation: null, ids, or a list of ids a row.
std::vector<std::optional<SubspaceIds>> read_subspaces(const JsonReader& json);
/// An IntervenableConfig in place, or the path of a saved folder or file, which goes into `from`.
IntervenableConfig read_config(const JsonReader& json, const models::LanguageModel& model,
                               const InterventionRegistry& registry, const std::string& folder, std::string& from);

}  // namespace vene::detail
