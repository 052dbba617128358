// SPDX-License-Identifier: Apache-2.0
#include "src/core/experiment_json.h"

#include <algorithm>
#include <filesystem>

#include "src/config/fields.h"
#include "src/config/json_value.h"
#include "src/config/parse.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

// Rows of token ids; shorter rows are padded on the right and masked.
void read_ids(const JsonReader& json, bool has_mask, models::Batch& batch) {
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 0;
  bool ragged = false;
  const std::string expected = "a list of rows of token ids";
  for (const JsonReader& row : json.each(expected)) {
    rows.push_back(row.integers("a list of token ids", "a token id"));
    ragged = ragged || rows.back().size() != rows.front().size();
    longest = std::max(longest, rows.back().size());
  }
  if (rows.empty()) json.expected(expected);
  // Each row is as long as the longest one, so that one long row among many short ones is more than the file holds.
  constexpr std::size_t kMostPadded = std::size_t{1} << 28;
  if (longest > kMostPadded / rows.size()) {
    json.fail(std::to_string(rows.size()) + " rows, of which the longest has " + std::to_string(longest) +
              " tokens, are more than one batch can be");
  }
  batch.input_ids =
      torch::zeros({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, torch::kInt64);
  torch::Tensor mask = torch::zeros_like(batch.input_ids);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto length = static_cast<std::int64_t>(rows[r].size());
    batch.input_ids[static_cast<std::int64_t>(r)].slice(0, 0, length).copy_(torch::tensor(rows[r], torch::kInt64));
    mask[static_cast<std::int64_t>(r)].slice(0, 0, length).fill_(1);
  }
  if (!ragged) return;
  if (has_mask) json.fail("rows differ in length, but an attention_mask is given; pad the rows, or leave the mask out");
  batch.attention_mask = mask;
}

void read_mask(const JsonReader& json, models::Batch& batch) {
  batch.attention_mask = tensor_from_json(json);
  const std::vector<std::int64_t> expected{batch.rows(), batch.positions()};
  if (batch.attention_mask.sizes() != c10::IntArrayRef(expected)) {
    json.fail("expected shape " + shape_text(expected) + " as the inputs have, got " +
              shape_text(batch.attention_mask.sizes()));
  }
  if (!torch::logical_or(batch.attention_mask == 0, batch.attention_mask == 1).all().item<bool>())
    json.fail("expected only 0 and 1");
  batch.attention_mask = batch.attention_mask.to(torch::kInt64);
}

models::Batch read_texts(const JsonReader& text, const models::LanguageModel& model) {
  std::vector<std::string> texts;
  if (text.json().is_array()) {
    for (const JsonReader& entry : text.each("texts")) texts.push_back(entry.text());
  } else if (text.json().is_string()) {
    texts.push_back(text.text());
  }
  if (texts.empty()) text.expected("a text or a list of texts");
  if (!model.tokenizer) text.fail("this model has no tokenizer; give \"input_ids\"");
  return model.encode(texts);
}

// Which segment each token is of. A model without a table of them takes those that say nothing, as tokenizers give
// them.
void read_types(const JsonReader& json, const models::LanguageModel& model, models::Batch& batch) {
  models::Batch read;
  read_ids(json, false, read);
  const torch::Tensor& types = read.input_ids;
  const std::vector<std::int64_t> expected{batch.rows(), batch.positions()};
  if (types.sizes() != c10::IntArrayRef(expected)) {
    json.fail("expected shape " + shape_text(expected) + " as the inputs have, got " + shape_text(types.sizes()));
  }
  const auto parameters = model.model->named_parameters();
  const bool has_types = std::any_of(parameters.begin(), parameters.end(), [](const auto& parameter) {
    return parameter.key().ends_with("token_type_embeddings.weight");
  });
  if (has_types) {
    batch.extra = {types};
  } else if (types.ne(0).any().item<bool>()) {
    json.fail("this model has no token types, so that they can be 0 only");
  }
}

bool is_texts(const Json& json) {
  return json.is_string() || (json.is_array() && !json.empty() && json.front().is_string());
}

bool all_ints(const Json& json) {
  return json.is_array() && !json.empty() &&
         std::all_of(json.begin(), json.end(), [](const Json& entry) { return entry.is_number_integer(); });
}

std::vector<std::int64_t> read_ints(const JsonReader& json) {
  return json.integers("a list of integers", "an integer");
}

SubspaceIds read_rows(const JsonReader& json) {
  SubspaceIds ids;
  for (const JsonReader& row : json.each("rows")) {
    if (!row.json().is_array()) row.expected("the list of one row");
    ids.rows.push_back(row.json().empty() ? std::vector<std::int64_t>{} : read_ints(row));
  }
  if (std::all_of(ids.rows.begin(), ids.rows.end(), [](const auto& row) { return row.empty(); }))
    json.expected("at least one column or part in some row (null stands for all of them)");
  return ids;
}

}  // namespace

models::Batch read_batch(const JsonReader& given, const models::LanguageModel& model) {
  if (is_texts(given.json())) return read_texts(given, model);
  JsonReader json = given;
  json.expect_object(R"({"text": "..."}, or a text)");
  json.refuse_others({"text", "input_ids", "attention_mask", "token_type_ids", "inputs_embeds"});
  const int inputs = static_cast<int>(json.has("text")) + static_cast<int>(json.has("input_ids")) +
                     static_cast<int>(json.has("inputs_embeds"));
  if (inputs != 1)
    json.fail("expected exactly one of \"text\", \"input_ids\" and \"inputs_embeds\", got " + std::to_string(inputs));
  if (json.has("text")) {
    if (json.has("attention_mask")) json.at("attention_mask").fail("texts make their own mask; leave it out");
    if (json.has("token_type_ids")) json.at("token_type_ids").fail("stand beside \"input_ids\"; leave them out");
    return read_texts(json.at("text"), model);
  }
  models::Batch batch;
  if (json.has("input_ids")) {
    read_ids(json.at("input_ids"), json.has("attention_mask"), batch);
  } else {
    const JsonReader embeds = json.at("inputs_embeds");
    batch.inputs_embeds = tensor_from_json(embeds);
    if (batch.inputs_embeds.dim() < 2)
      embeds.fail("expected [batch, pos, width], got shape " + shape_text(batch.inputs_embeds.sizes()));
  }
  if (json.has("attention_mask")) read_mask(json.at("attention_mask"), batch);
  if (const auto types = json.find("token_type_ids")) read_types(*types, model, batch);
  return batch;
}

std::vector<std::optional<models::Batch>> read_sources(const JsonReader& json,
                                                       const std::function<models::Batch(const JsonReader&)>& read) {
  if (json.json().is_object() || json.json().is_string()) return {read(json)};
  std::vector<std::optional<models::Batch>> sources;
  for (const JsonReader& source : json.each("an input, or a list of inputs and nulls"))
    sources.push_back(source.json().is_null() ? std::nullopt : std::optional(read(source)));
  return sources;
}

torch::Tensor read_constant(const JsonReader& given, const models::LanguageModel& model) {
  if (!given.json().is_object()) return constant_from_json(given);
  JsonReader json = given;
  json.refuse_others({"embedding_of", "scale"});
  const JsonReader text = json.at("embedding_of");
  double scale = 1;
  json.read("scale", scale);
  const torch::Tensor table = model.model->token_embedding();
  if (!model.tokenizer) text.fail("this model has no tokenizer; give the numbers");
  const std::vector<std::int64_t> ids = model.tokenizer->encode(text.some_text(), /*special=*/false);
  if (!table.defined() || ids.empty()) text.fail("the text has no embedding in this model");
  const torch::Tensor rows =
      table.detach().index_select(0, torch::tensor(ids, torch::kInt64).to(table.device())).to(torch::kFloat32);
  return (rows.mean(0) * scale).to(torch::kCPU);
}

std::vector<std::optional<SubspaceIds>> read_subspaces(const JsonReader& json) {
  if (json.json().is_null()) return {};
  if (json.is_integer()) return {SubspaceIds{{{json.integer()}}}};
  if (all_ints(json.json())) return {SubspaceIds{{read_ints(json)}}};
  std::vector<std::optional<SubspaceIds>> subspaces;
  for (const JsonReader& entry :
       json.each("null, an integer, a list of integers, or a list with one entry a representation")) {
    if (entry.json().is_null()) {
      subspaces.emplace_back();
    } else if (all_ints(entry.json())) {
      subspaces.push_back(SubspaceIds{{read_ints(entry)}});
    } else if (entry.json().is_array() && !entry.json().empty()) {
      subspaces.push_back(read_rows(entry));
    } else {
      entry.expected("null, a list of integers, or one list a row");
    }
  }
  return subspaces;
}

namespace {

bool holds_embeddings(const Json& json) {
  if (json.is_object() && json.contains("embedding_of")) return true;
  return json.is_structured() && std::any_of(json.begin(), json.end(), holds_embeddings);
}

// The same config with the numbers that its texts stand for.
Json with_embeddings(const JsonReader& json, const models::LanguageModel& model) {
  if (json.has("embedding_of")) return tensor_to_json(read_constant(json, model));
  Json filled = json.json();
  if (filled.is_object()) {
    JsonReader object = json;
    for (auto& [name, value] : filled.items()) value = with_embeddings(object.at(name), model);
  } else if (filled.is_array()) {
    const std::vector<JsonReader> entries = json.each("a list");
    for (std::size_t i = 0; i < entries.size(); ++i) filled[i] = with_embeddings(entries[i], model);
  }
  return filled;
}

}  // namespace

IntervenableConfig read_config(const JsonReader& json, const models::LanguageModel& model,
                               const InterventionRegistry& registry, const std::string& folder, std::string& from) {
  if (!json.json().is_string()) {
    return parse_config(holds_embeddings(json.json()) ? with_embeddings(json, model) : json.json(), registry, folder);
  }
  from = (std::filesystem::path(folder) / json.text()).string();
  return IntervenableConfig::load(from, registry);
}

}  // namespace vene::detail
