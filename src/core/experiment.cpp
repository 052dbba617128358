// SPDX-License-Identifier: Apache-2.0
#include "vene/core/experiment.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/config/json_value.h"
#include "src/core/generate_json.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using Json = nlohmann::json;
using detail::json_text;
using detail::tensor_from_json;

void only_keys(const Json& object, const std::string& path, const std::vector<std::string>& known) {
  if (!object.is_object()) throw ConfigError(path + ": expected an object, got " + json_text(object));
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw ConfigError((path.empty() ? "experiment" : path) + ": unknown key '" + key + "'" + name_hint(key, known));
    }
  }
}

std::string item(const std::string& path, std::size_t i) { return path + "[" + std::to_string(i) + "]"; }

bool boolean(const Json& root, const char* key, bool otherwise) {
  if (!root.contains(key)) return otherwise;
  if (!root[key].is_boolean()) throw ConfigError(std::string(key) + ": expected true or false, got " + json_text(root[key]));
  return root[key].get<bool>();
}

// An integer that fits 64 bits with a sign.
bool is_integer(const Json& json) { return json.is_number_integer() && (!json.is_number_unsigned() || json.get<std::uint64_t>() <= INT64_MAX); }

// Rows of token ids; shorter rows are padded on the right and masked.
void read_ids(const Json& json, const std::string& path, bool has_mask, models::Batch& batch) {
  if (!json.is_array() || json.empty()) throw ConfigError(path + ": expected a list of rows of token ids, got " + json_text(json));
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 0;
  for (std::size_t r = 0; r < json.size(); ++r) {
    if (!json[r].is_array() || json[r].empty()) throw ConfigError(item(path, r) + ": expected a list of token ids, got " + json_text(json[r]));
    std::vector<std::int64_t> row;
    for (std::size_t c = 0; c < json[r].size(); ++c) {
      if (!is_integer(json[r][c])) throw ConfigError(item(item(path, r), c) + ": expected a token id, got " + json_text(json[r][c]));
      row.push_back(json[r][c].get<std::int64_t>());
    }
    longest = std::max(longest, row.size());
    rows.push_back(std::move(row));
  }
  batch.input_ids = torch::zeros({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, torch::kInt64);
  torch::Tensor mask = torch::zeros_like(batch.input_ids);
  bool ragged = false;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto length = static_cast<std::int64_t>(rows[r].size());
    batch.input_ids[static_cast<std::int64_t>(r)].slice(0, 0, length).copy_(torch::tensor(rows[r], torch::kInt64));
    mask[static_cast<std::int64_t>(r)].slice(0, 0, length).fill_(1);
    ragged = ragged || rows[r].size() != longest;
  }
  if (!ragged) return;
  if (has_mask) throw ConfigError(path + ": rows differ in length, but an attention_mask is given; pad the rows, or leave the mask out");
  batch.attention_mask = mask;
}

models::Batch read_batch(const Json& json, const std::string& path, const models::LanguageModel& model) {
  only_keys(json, path, {"text", "input_ids", "attention_mask", "inputs_embeds"});
  const int given = static_cast<int>(json.contains("text")) + static_cast<int>(json.contains("input_ids")) + static_cast<int>(json.contains("inputs_embeds"));
  if (given != 1) throw ConfigError(path + ": expected exactly one of \"text\", \"input_ids\" and \"inputs_embeds\", got " + std::to_string(given));
  models::Batch batch;
  if (json.contains("text")) {
    const Json& text = json["text"];
    std::vector<std::string> texts;
    if (text.is_string()) texts.push_back(text.get<std::string>());
    for (std::size_t i = 0; text.is_array() && i < text.size(); ++i) {
      if (!text[i].is_string()) throw ConfigError(item(path + ".text", i) + ": expected a text, got " + json_text(text[i]));
      texts.push_back(text[i].get<std::string>());
    }
    if (texts.empty()) throw ConfigError(path + ".text: expected a text or a list of texts, got " + json_text(text));
    if (json.contains("attention_mask")) throw ConfigError(path + ".attention_mask: texts make their own mask; leave it out");
    if (!model.tokenizer) throw ConfigError(path + ".text: this model has no tokenizer; give \"input_ids\"");
    return model.encode(texts);
  }
  if (json.contains("input_ids")) {
    read_ids(json["input_ids"], path + ".input_ids", json.contains("attention_mask"), batch);
  } else {
    batch.inputs_embeds = tensor_from_json(json["inputs_embeds"], path + ".inputs_embeds");
    if (batch.inputs_embeds.dim() < 2) throw ConfigError(path + ".inputs_embeds: expected [batch, pos, width], got shape " + shape_text(batch.inputs_embeds.sizes()));
  }
  if (json.contains("attention_mask")) {
    batch.attention_mask = tensor_from_json(json["attention_mask"], path + ".attention_mask").to(torch::kInt64);
    const std::vector<std::int64_t> expected{batch.rows(), batch.positions()};
    if (batch.attention_mask.sizes() != c10::IntArrayRef(expected)) {
      throw ConfigError(path + ".attention_mask: expected shape " + shape_text(expected) + " as the inputs have, got " + shape_text(batch.attention_mask.sizes()));
    }
    if (!torch::logical_or(batch.attention_mask == 0, batch.attention_mask == 1).all().item<bool>()) {
      throw ConfigError(path + ".attention_mask: expected only 0 and 1");
    }
  }
  return batch;
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
  return json.is_array() && !json.empty() && std::all_of(json.begin(), json.end(), [](const Json& entry) { return entry.is_number_integer(); });
}

std::vector<std::optional<SubspaceIds>> read_subspaces(const Json& json, const std::string& path) {
  if (json.is_null()) return {};
  if (is_integer(json)) return {SubspaceIds{{{json.get<std::int64_t>()}}}};
  if (!json.is_array()) throw ConfigError(path + ": expected null, an integer, a list of integers, or a list with one entry a representation, got " + json_text(json));
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
        if (!entry[r].is_array()) throw ConfigError(item(here, r) + ": expected the list of one row, got " + json_text(entry[r]));
        ids.rows.push_back(read_ints(entry[r], item(here, r)));
      }
      subspaces.push_back(std::move(ids));
    } else {
      throw ConfigError(here + ": expected null, a list of integers, or one list a row, got " + json_text(entry));
    }
  }
  return subspaces;
}

// A representation by its key or its index.
std::size_t representation_index(const std::string& name, const std::vector<std::string>& keys, const std::string& path) {
  const auto found = std::find(keys.begin(), keys.end(), name);
  if (found != keys.end()) return static_cast<std::size_t>(found - keys.begin());
  if (!name.empty() && name.size() < 7 && std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) {
    const std::size_t index = std::stoul(name);
    if (index < keys.size()) return index;
    throw ConfigError(path + ": no representation " + name + "; there are " + std::to_string(keys.size()));
  }
  throw ConfigError(path + ": no representation '" + name + "'" + name_hint(name, keys));
}

std::vector<torch::Tensor> read_source_representations(const Json& json, const IntervenableConfig& config, const std::string& folder) {
  const std::string path = "source_representations";
  if (json.is_null()) return {};
  if (!json.is_object()) return {tensor_from_json(json, path)};
  const std::vector<std::string> keys = representation_keys(config);
  std::vector<torch::Tensor> values(keys.size());
  if (json.contains("file")) {
    only_keys(json, path, {"file"});
    if (!json["file"].is_string()) throw ConfigError(path + ".file: expected a path, got " + json_text(json["file"]));
    const std::filesystem::path file = std::filesystem::path(folder) / json["file"].get<std::string>();
    for (const auto& [name, tensor] : io::read_tensors(file.string())) values[representation_index(name, keys, path + " (" + file.string() + ")")] = tensor;
  } else {
    for (const auto& [name, value] : json.items()) values[representation_index(name, keys, path)] = tensor_from_json(value, path + "." + name);
  }
  // A lone representation keeps its place: one entry would mean "for all".
  return values;
}

}  // namespace

Experiment parse_experiment(std::string_view text, const models::LanguageModel& model, const std::string& folder, const InterventionRegistry& registry) {
  Json json;
  try {
    json = detail::parse_json(text);
  } catch (const ConfigError& error) {
    throw ConfigError(std::string("experiment: ") + error.what());
  }
  only_keys(json, "", {"config", "base", "sources", "unit_locations", "subspaces", "source_representations", "output_original_output",
                       "collect_only", "generate", "description"});
  for (const char* needed : {"config", "base"}) {
    if (!json.contains(needed)) throw ConfigError(std::string("experiment: '") + needed + "' is missing");
  }
  Experiment experiment;
  if (json["config"].is_string()) {
    experiment.config_folder = (std::filesystem::path(folder) / json["config"].get<std::string>()).string();
    experiment.config = IntervenableConfig::load(experiment.config_folder, registry);
  } else {
    experiment.config = IntervenableConfig::parse(json["config"].dump(), registry);
  }
  RunRequest& request = experiment.request;
  request.base = read_batch(json["base"], "base", model);
  if (json.contains("sources") && !json["sources"].is_null()) {
    const Json& sources = json["sources"];
    if (!sources.is_array()) throw ConfigError("sources: expected a list of inputs or nulls, got " + json_text(sources));
    for (std::size_t i = 0; i < sources.size(); ++i) {
      request.sources.push_back(sources[i].is_null() ? std::nullopt : std::optional(read_batch(sources[i], item("sources", i), model)));
    }
  }
  if (json.contains("unit_locations")) request.locations = Locations::parse(json["unit_locations"].dump());
  if (json.contains("subspaces")) request.subspaces = read_subspaces(json["subspaces"], "subspaces");
  if (json.contains("source_representations")) {
    request.source_representations = read_source_representations(json["source_representations"], experiment.config, folder);
  }
  request.original = boolean(json, "output_original_output", true);
  request.collect_only = boolean(json, "collect_only", false);
  request.tokenizer = model.tokenizer.get();
  if (json.contains("generate") && !json["generate"].is_null()) {
    request.generation.emplace();
    experiment.generate = detail::read_generate(json["generate"], "generate", *request.generation);
  }
  const torch::Device device = model.model->device();
  request.base = request.base.to(device);
  for (auto& source : request.sources) {
    if (source) source = source->to(device);
  }
  return experiment;
}

Experiment load_experiment(const std::string& path, const models::LanguageModel& model, const InterventionRegistry& registry) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const std::string text = io::read_file(path);
  try {
    return parse_experiment(text, model, folder.empty() ? "." : folder, registry);
  } catch (const IoError& error) {
    throw IoError(path + ": " + error.what());
  } catch (const Error& error) {
    throw ConfigError(path + ": " + error.what());
  }
}

Plan plan_experiment(const Experiment& experiment, const models::LanguageModel& model, const InterventionRegistry& registry) {
  const auto intervenable = experiment.config_folder.empty() ? std::make_shared<IntervenableModelImpl>(experiment.config, model.model, registry)
                                                             : IntervenableModelImpl::load(experiment.config_folder, model.model, registry);
  return intervenable->compile(experiment.request);
}

Result run_experiment(const Experiment& experiment, const models::LanguageModel& model, const InterventionRegistry& registry) {
  if (experiment.generate) throw PlanError("this experiment generates; use generate_experiment");
  return run(plan_experiment(experiment, model, registry), experiment.request.base, experiment.request.sources);
}

GenerateResult generate_experiment(const Experiment& experiment, const models::LanguageModel& model, const InterventionRegistry& registry) {
  if (!experiment.generate) throw PlanError("this experiment has no \"generate\"; use run_experiment");
  return generate(plan_experiment(experiment, model, registry), experiment.request.base, experiment.request.sources, *experiment.generate);
}

io::NamedTensors result_tensors(const Result& result) {
  io::NamedTensors tensors;
  auto add = [&](const std::string& name, const models::Output& output) {
    if (output.logits.defined()) {
      tensors.emplace_back(name + ".logits", output.logits);
    } else if (output.last_hidden_state.defined()) {
      tensors.emplace_back(name + ".last_hidden_state", output.last_hidden_state);
    }
  };
  if (result.original) add("original", *result.original);
  add("intervened", result.intervened);
  for (std::size_t i = 0; i < result.collected.size(); ++i) {
    tensors.emplace_back("collected." + std::to_string(i), result.collected[i].value);
    if (result.collected[i].valid.defined()) tensors.emplace_back("collected." + std::to_string(i) + ".valid", result.collected[i].valid);
  }
  return tensors;
}

}  // namespace vene
