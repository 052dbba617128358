// SPDX-License-Identifier: Apache-2.0
#include "src/core/experiment_json.h"

#include "src/config/json_value.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

using Json = nlohmann::json;

// An integer that fits 64 bits with a sign.
bool is_integer(const Json& json) {
  return json.is_number_integer() && (!json.is_number_unsigned() || json.get<std::uint64_t>() <= INT64_MAX);
}

// Rows of token ids; shorter rows are padded on the right and masked.
void read_ids(const Json& json, const std::string& path, bool has_mask, models::Batch& batch) {
  if (!json.is_array() || json.empty())
    throw ConfigError(path + ": expected a list of rows of token ids, got " + json_text(json));
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 0;
  for (std::size_t r = 0; r < json.size(); ++r) {
    if (!json[r].is_array() || json[r].empty())
      throw ConfigError(item(path, r) + ": expected a list of token ids, got " + json_text(json[r]));
    std::vector<std::int64_t> row;
    for (std::size_t c = 0; c < json[r].size(); ++c) {
      if (!is_integer(json[r][c]))
        throw ConfigError(item(item(path, r), c) + ": expected a token id, got " + json_text(json[r][c]));
      row.push_back(json[r][c].get<std::int64_t>());
    }
    longest = std::max(longest, row.size());
    rows.push_back(std::move(row));
  }
  batch.input_ids =
      torch::zeros({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, torch::kInt64);
  torch::Tensor mask = torch::zeros_like(batch.input_ids);
  bool ragged = false;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto length = static_cast<std::int64_t>(rows[r].size());
    batch.input_ids[static_cast<std::int64_t>(r)].slice(0, 0, length).copy_(torch::tensor(rows[r], torch::kInt64));
    mask[static_cast<std::int64_t>(r)].slice(0, 0, length).fill_(1);
    ragged = ragged || rows[r].size() != longest;
  }
  if (!ragged) return;
  if (has_mask)
    throw ConfigError(path +
                      ": rows differ in length, but an attention_mask is given; pad the rows, or leave the mask out");
  batch.attention_mask = mask;
}

std::vector<std::int64_t> read_ints(const Json& json, const std::string& path) {
  std::vector<std::int64_t> values;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!is_integer(json[i])) throw ConfigError(item(path, i) + ": expected an integer, got " + json_text(json[i]));
    values.push_back(json[i].get<std::int64_t>());
  }
  return values;
}

bool all_ints(const Json& json) {
  return json.is_array() && !json.empty() &&
         std::all_of(json.begin(), json.end(), [](const Json& entry) { return entry.is_number_integer(); });
}

}  // namespace

void only_keys(const Json& object, const std::string& path, const std::vector<std::string>& known) {
  if (!object.is_object()) throw ConfigError(path + ": expected an object, got " + json_text(object));
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw ConfigError(path + ": unknown key '" + key + "'" + name_hint(key, known));
    }
  }
}

models::Batch read_batch(const Json& json, const std::string& path, const models::LanguageModel& model) {
  only_keys(json, path, {"text", "input_ids", "attention_mask", "inputs_embeds"});
  const int given = static_cast<int>(json.contains("text")) + static_cast<int>(json.contains("input_ids")) +
                    static_cast<int>(json.contains("inputs_embeds"));
  if (given != 1)
    throw ConfigError(path + ": expected exactly one of \"text\", \"input_ids\" and \"inputs_embeds\", got " +
                      std::to_string(given));
  models::Batch batch;
  if (json.contains("text")) {
    const Json& text = json["text"];
    std::vector<std::string> texts;
    if (text.is_string()) texts.push_back(text.get<std::string>());
    for (std::size_t i = 0; text.is_array() && i < text.size(); ++i) {
      if (!text[i].is_string())
        throw ConfigError(item(path + ".text", i) + ": expected a text, got " + json_text(text[i]));
      texts.push_back(text[i].get<std::string>());
    }
    if (texts.empty()) throw ConfigError(path + ".text: expected a text or a list of texts, got " + json_text(text));
    if (json.contains("attention_mask"))
      throw ConfigError(path + ".attention_mask: texts make their own mask; leave it out");
    if (!model.tokenizer) throw ConfigError(path + ".text: this model has no tokenizer; give \"input_ids\"");
    return model.encode(texts);
  }
  if (json.contains("input_ids")) {
    read_ids(json["input_ids"], path + ".input_ids", json.contains("attention_mask"), batch);
  } else {
    batch.inputs_embeds = tensor_from_json(json["inputs_embeds"], path + ".inputs_embeds");
    if (batch.inputs_embeds.dim() < 2)
      throw ConfigError(path + ".inputs_embeds: expected [batch, pos, width], got shape " +
                        shape_text(batch.inputs_embeds.sizes()));
  }
  if (json.contains("attention_mask")) {
    batch.attention_mask = tensor_from_json(json["attention_mask"], path + ".attention_mask");
    const std::vector<std::int64_t> expected{batch.rows(), batch.positions()};
    if (batch.attention_mask.sizes() != c10::IntArrayRef(expected)) {
      throw ConfigError(path + ".attention_mask: expected shape " + shape_text(expected) + " as the inputs have, got " +
                        shape_text(batch.attention_mask.sizes()));
    }
    if (!torch::logical_or(batch.attention_mask == 0, batch.attention_mask == 1).all().item<bool>()) {
      throw ConfigError(path + ".attention_mask: expected only 0 and 1");
    }
    batch.attention_mask = batch.attention_mask.to(torch::kInt64);
  }
  return batch;
}

std::vector<std::optional<SubspaceIds>> read_subspaces(const Json& json, const std::string& path) {
  if (json.is_null()) return {};
  if (is_integer(json)) return {SubspaceIds{{{json.get<std::int64_t>()}}}};
  if (!json.is_array())
    throw ConfigError(
        path + ": expected null, an integer, a list of integers, or a list with one entry a representation, got " +
        json_text(json));
  if (all_ints(json)) return {SubspaceIds{{read_ints(json, path)}}};
  std::vector<std::optional<SubspaceIds>> subspaces;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const Json& entry = json[i];
    const std::string here = item(path, i);
    if (entry.is_null()) {
      subspaces.emplace_back();
    } else if (all_ints(entry)) {
      subspaces.push_back(SubspaceIds{{read_ints(entry, here)}});
    } else if (entry.is_array() && !entry.empty()) {
      SubspaceIds ids;
      for (std::size_t r = 0; r < entry.size(); ++r) {
        if (!entry[r].is_array())
          throw ConfigError(item(here, r) + ": expected the list of one row, got " + json_text(entry[r]));
        ids.rows.push_back(read_ints(entry[r], item(here, r)));
      }
      if (std::all_of(ids.rows.begin(), ids.rows.end(), [](const auto& row) { return row.empty(); })) {
        throw ConfigError(here +
                          ": expected at least one column or part in some row (null stands for all of them), got " +
                          json_text(entry));
      }
      subspaces.push_back(std::move(ids));
    } else {
      throw ConfigError(here + ": expected null, a list of integers, or one list a row, got " + json_text(entry));
    }
  }
  return subspaces;
}

}  // namespace vene::detail
