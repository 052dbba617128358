// SPDX-License-Identifier: Apache-2.0
#include "vene/train/spec.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "src/config/json_fields.h"
#include "src/core/experiment_json.h"
#include "src/train/shuffle.h"
#include "vene/io/files.h"

namespace vene::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using detail::Fields;
using detail::item;
using detail::json_text;

constexpr const char* kExample = R"({"base": "...", "sources": ["..."], "label": " Paris"})";

// What an example takes from the spec where it says nothing itself.
struct Common {
  std::optional<Locations> locations;
  std::vector<std::optional<SubspaceIds>> subspaces;
};

models::Batch read_row(const Json& json, const std::string& path, const models::LanguageModel& model) {
  const models::Batch batch = detail::read_batch(json.is_string() ? Json{{"text", json}} : json, path, model);
  if (batch.rows() != 1)
    throw ConfigError(path + ": expected one text or one row, got " + std::to_string(batch.rows()));
  return batch.to(model.model->device());
}

// The text of an example's base, where it is given as one.
std::optional<std::string> text_of(const Json& base) {
  const Json* text = base.is_string() ? &base : base.is_object() && base.contains("text") ? &base["text"] : nullptr;
  return text != nullptr && text->is_string() ? std::optional(text->get<std::string>()) : std::nullopt;
}

// The one token that a text is; where it is more by itself, the one that goes on from the text in front of it, which
// tokenizers may cut otherwise.
std::int64_t read_token(const Json& json, const std::string& path, const models::LanguageModel& model,
                        const std::optional<std::string>& before = {}) {
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (!json.is_string()) throw ConfigError(path + ": expected a token's text or its id, got " + json_text(json));
  if (!model.tokenizer) throw ConfigError(path + ": this model has no tokenizer; give the token's id");
  const std::vector<std::int64_t> ids = model.tokenizer->encode(json.get<std::string>(), false);
  if (ids.size() != 1 && before) {
    const std::vector<std::int64_t> front = model.tokenizer->encode(*before, false),
                                    whole = model.tokenizer->encode(*before + json.get<std::string>(), false);
    if (whole.size() == front.size() + 1 && std::equal(front.begin(), front.end(), whole.begin())) return whole.back();
  }
  if (ids.size() != 1)
    throw ConfigError(path + ": expected the text of one token, " + json_text(json) + " has " +
                      std::to_string(ids.size()));
  return ids[0];
}

// `name` is "label" or "task_label", with an s for several.
std::vector<Label> read_labels(Fields& fields, const std::string& name, const std::string& path,
                               const models::LanguageModel& model, const std::optional<std::string>& before) {
  const Json* one = fields.find(name.c_str());
  const Json* several = fields.find((name + "s").c_str());
  if (one != nullptr && several != nullptr)
    throw ConfigError(path + ": expected either '" + name + "' or '" + name + "s'");
  if (one != nullptr) return {{read_token(*one, path + "." + name, model, before), -1}};
  if (several == nullptr) return {};
  if (!several->is_array() || several->empty())
    fields.fail((name + "s").c_str(), R"(a list such as [{"token": " Paris", "position": -1}])", *several);
  std::vector<Label> labels;
  for (std::size_t i = 0; i < several->size(); ++i) {
    const std::string here = item(path + "." + name + "s", i);
    Fields label((*several)[i], here, R"({"token": " Paris", "position": -1})");
    const Json* token = label.find("token");
    if (token == nullptr) throw ConfigError(here + ": 'token' is missing");
    labels.push_back({read_token(*token, here + ".token", model), -1});
    label.read("position", labels.back().position);
    label.refuse_others();
  }
  return labels;
}

Example read_example(const Json& json, const std::string& path, const Common& common,
                     const models::LanguageModel& model) {
  Fields fields(json, path, kExample);
  Example example;
  example.name = path;
  example.tokenizer = model.tokenizer.get();
  const Json* base = fields.find("base");
  if (base == nullptr) throw ConfigError(path + ": 'base' is missing");
  example.base = read_row(*base, path + ".base", model);
  if (const Json* sources = fields.find("sources")) {
    if (!sources->is_array()) fields.fail("sources", "a list of inputs or nulls", *sources);
    for (std::size_t i = 0; i < sources->size(); ++i) {
      example.sources.push_back((*sources)[i].is_null()
                                    ? std::nullopt
                                    : std::optional(read_row((*sources)[i], item(path + ".sources", i), model)));
    }
  }
  const Json* locations = fields.find("unit_locations");
  if (locations == nullptr && !common.locations)
    throw ConfigError(path + ": 'unit_locations' is missing, here and in the spec");
  try {
    example.locations = locations != nullptr ? Locations::parse(locations->dump()) : *common.locations;
  } catch (const Error& error) {
    throw ConfigError(path + ": " + error.what());
  }
  const Json* subspaces = fields.find("subspaces");
  example.subspaces = subspaces != nullptr ? detail::read_subspaces(*subspaces, path + ".subspaces") : common.subspaces;
  const std::optional<std::string> before = text_of(*base);
  example.labels = read_labels(fields, "label", path, model, before);
  if (example.labels.empty()) throw ConfigError(path + ": expected either 'label' or 'labels'");
  example.task_labels = read_labels(fields, "task_label", path, model, before);
  if (const Json* rival = fields.find("rival")) example.rival = read_token(*rival, path + ".rival", model, before);
  fields.refuse_others();
  return example;
}

// A list in place, or a file of one example a line.
std::vector<Example> read_examples(const Json& json, const std::string& path, const Common& common,
                                   const std::string& folder, const models::LanguageModel& model) {
  std::vector<Example> examples;
  if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i)
      examples.push_back(read_example(json[i], item(path, i), common, model));
  } else if (json.is_string()) {
    const std::string file = (fs::path(folder) / json.get<std::string>()).string();
    const std::string text = io::read_file(file);
    std::size_t line = 0;
    for (std::size_t at = 0; at < text.size(); ++line) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string row = text.substr(at, end - at);
      at = end + 1;
      if (row.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string here = file + ", line " + std::to_string(line + 1);
      Json parsed;
      try {
        parsed = detail::parse_json(row);
      } catch (const ConfigError& error) {
        throw ConfigError(here + ": " + error.what());
      }
      examples.push_back(read_example(parsed, here, common, model));
    }
  } else {
    throw ConfigError(path + ": expected a list of examples or the name of a .jsonl file, got " + json_text(json));
  }
  if (examples.empty()) throw ConfigError(path + ": there are no examples");
  return examples;
}

template <class Enum>
void read_choice(Fields& fields, const std::string& path, const char* key,
                 const std::vector<std::pair<std::string, Enum>>& choices, Enum& into) {
  const Json* value = fields.find(key);
  if (value == nullptr) return;
  std::vector<std::string> names;
  for (const auto& [name, choice] : choices) {
    if (*value == name) {
      into = choice;
      return;
    }
    names.push_back(name);
  }
  const std::string came = value->is_string() ? value->get<std::string>() : json_text(*value);
  throw ConfigError(path + "." + key + ": unknown " + key + " '" + came + "'" + name_hint(came, names));
}

void read_options(const Json& json, const std::string& path, TrainOptions& options) {
  Fields fields(json, path, R"({"epochs": 10, "learning_rate": 1e-3})");
  read_choice<OptimizerKind>(
      fields, path, "optimizer",
      {{"adam", OptimizerKind::kAdam}, {"adamw", OptimizerKind::kAdamW}, {"sgd", OptimizerKind::kSGD}},
      options.optimizer);
  read_choice<Schedule>(
      fields, path, "schedule",
      {{"constant", Schedule::kConstant}, {"linear", Schedule::kLinear}, {"cosine", Schedule::kCosine}},
      options.schedule);
  fields.read("learning_rate", options.learning_rate);
  fields.read("weight_decay", options.weight_decay);
  fields.read("momentum", options.momentum);
  fields.read("epochs", options.epochs);
  fields.read("batch_size", options.batch_size);
  fields.read("accumulation", options.accumulation);
  fields.read("warm_up", options.warm_up);
  fields.read("clip", options.clip);
  fields.read("patience", options.patience);
  fields.read("checkpoint_every", options.checkpoint_every);
  fields.read("cache", options.cache);
  fields.read("task_weight", options.task_weight);
  std::int64_t seed = 0;
  fields.read("seed", seed);
  if (seed < 0) fields.fail("seed", "an integer of at least 0", seed);
  options.seed = static_cast<std::uint64_t>(seed);
  if (const Json* temperature = fields.find("temperature")) {
    const bool pair = temperature->is_array() && temperature->size() == 2 && (*temperature)[0].is_number() &&
                      (*temperature)[1].is_number();
    if (!pair) fields.fail("temperature", "the first and the last, such as [50, 0.1]", *temperature);
    options.temperature = {(*temperature)[0].get<double>(), (*temperature)[1].get<double>()};
    if (options.temperature->first <= 0 || options.temperature->second <= 0)
      fields.fail("temperature", "two numbers above 0", *temperature);
  }
  fields.refuse_others();
}

// Moves a share of the examples, drawn by the seed, to the validation set.
void hold_out(double share, std::uint64_t seed, std::vector<Example>& examples, std::vector<Example>& validation) {
  detail::shuffle(examples, seed);
  const auto held = static_cast<std::size_t>(share * static_cast<double>(examples.size()) + 0.5);
  if (held == 0 || held == examples.size()) {
    throw ConfigError("validation: a share of " + std::to_string(share) + " of " + std::to_string(examples.size()) +
                      " examples leaves one of the two sets empty");
  }
  validation.assign(std::make_move_iterator(examples.end() - static_cast<std::ptrdiff_t>(held)),
                    std::make_move_iterator(examples.end()));
  examples.resize(examples.size() - held);
}

}  // namespace

TrainSpec parse_train_spec(std::string_view text, const models::LanguageModel& model, const std::string& folder,
                           const InterventionRegistry& registry) {
  Json json;
  try {
    json = detail::parse_json(text);
  } catch (const ConfigError& error) {
    throw ConfigError(std::string("spec: ") + error.what());
  }
  detail::only_keys(json, "spec",
                    {"config", "examples", "validation", "test", "unit_locations", "subspaces", "training",
                     "train_model", "description"});
  for (const char* needed : {"config", "examples"}) {
    if (!json.contains(needed)) throw ConfigError(std::string("spec: '") + needed + "' is missing");
  }
  TrainSpec spec;
  if (json["config"].is_string()) {
    spec.config_folder = (fs::path(folder) / json["config"].get<std::string>()).string();
    spec.config = IntervenableConfig::load(spec.config_folder, registry);
  } else {
    spec.config = IntervenableConfig::parse(json["config"].dump(), registry, folder);
  }
  if (json.contains("training")) read_options(json["training"], "training", spec.options);
  Common common;
  if (json.contains("unit_locations")) common.locations = Locations::parse(json["unit_locations"].dump());
  if (json.contains("subspaces")) common.subspaces = detail::read_subspaces(json["subspaces"], "subspaces");
  spec.examples = read_examples(json["examples"], "examples", common, folder, model);
  if (json.contains("validation") && json["validation"].is_number()) {
    const double share = json["validation"].get<double>();
    if (!(share > 0 && share < 1))
      throw ConfigError("validation: expected a share between 0 and 1, a list of examples or a file, got " +
                        json_text(json["validation"]));
    hold_out(share, spec.options.seed, spec.examples, spec.validation);
  } else if (json.contains("validation")) {
    spec.validation = read_examples(json["validation"], "validation", common, folder, model);
  }
  if (json.contains("test")) spec.test = read_examples(json["test"], "test", common, folder, model);
  if (json.contains("train_model")) {
    const Json& parts = json["train_model"];
    if (parts.is_boolean()) {
      spec.train_model = parts.get<bool>();
    } else {
      if (!parts.is_array() || parts.empty())
        throw ConfigError("train_model: expected true, false or a list of names of parameters, got " +
                          json_text(parts));
      spec.train_model = true;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (!parts[i].is_string())
          throw ConfigError(item("train_model", i) + ": expected how the names of parameters begin, got " +
                            json_text(parts[i]));
        spec.model_parts.push_back(parts[i].get<std::string>());
      }
    }
  }
  if (spec.options.patience > 0 && spec.validation.empty())
    throw ConfigError("training.patience: needs a 'validation' set");
  return spec;
}

TrainSpec load_train_spec(const std::string& path, const models::LanguageModel& model,
                          const InterventionRegistry& registry) {
  const std::string folder = fs::path(path).parent_path().string();
  const std::string text = io::read_file(path);
  try {
    return parse_train_spec(text, model, folder.empty() ? "." : folder, registry);
  } catch (const IoError& error) {
    throw IoError(path + ": " + error.what());
  } catch (const Error& error) {
    throw ConfigError(path + ": " + error.what());
  }
}

IntervenableModel make_intervenable(const TrainSpec& spec, const models::LanguageModel& model,
                                    const InterventionRegistry& registry) {
  IntervenableModel made =
      spec.config_folder.empty()
          ? IntervenableModel(std::make_shared<IntervenableModelImpl>(spec.config, model.model, registry))
          : IntervenableModel(IntervenableModelImpl::load(spec.config_folder, model.model, registry));
  if (spec.train_model) made->enable_model_gradients(spec.model_parts);
  return made;
}

}  // namespace vene::train
