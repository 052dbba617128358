// SPDX-License-Identifier: Apache-2.0
#include "vene/core/experiment.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/config/json_value.h"
#include "src/core/experiment_json.h"
#include "src/core/generate_json.h"
#include "src/core/sampling.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using Json = nlohmann::json;
using detail::item;
using detail::json_text;
using detail::only_keys;
using detail::read_batch;
using detail::read_subspaces;
using detail::tensor_from_json;

bool boolean(const Json& root, const char* key, bool otherwise) {
  if (!root.contains(key)) return otherwise;
  if (!root[key].is_boolean())
    throw ConfigError(std::string(key) + ": expected true or false, got " + json_text(root[key]));
  return root[key].get<bool>();
}

// A representation by its key or its index.
std::size_t representation_index(const std::string& name, const std::vector<std::string>& keys,
                                 const std::string& path) {
  const auto found = std::find(keys.begin(), keys.end(), name);
  if (found != keys.end()) return static_cast<std::size_t>(found - keys.begin());
  if (!name.empty() && name.size() < 7 &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) {
    const std::size_t index = std::stoul(name);
    if (index < keys.size()) return index;
    throw ConfigError(path + ": no representation " + name + "; there are " + std::to_string(keys.size()));
  }
  throw ConfigError(path + ": no representation '" + name + "'" + name_hint(name, keys));
}

std::vector<torch::Tensor> read_source_representations(const Json& json, const IntervenableConfig& config,
                                                       const std::string& folder) {
  const std::string path = "source_representations";
  if (json.is_null()) return {};
  if (!json.is_object()) return {tensor_from_json(json, path)};
  const std::vector<std::string> keys = representation_keys(config);
  std::vector<torch::Tensor> values(keys.size());
  if (json.contains("file")) {
    only_keys(json, path, {"file"});
    if (!json["file"].is_string()) throw ConfigError(path + ".file: expected a path, got " + json_text(json["file"]));
    const std::filesystem::path file = std::filesystem::path(folder) / json["file"].get<std::string>();
    for (const auto& [name, tensor] : io::read_tensors(file.string()))
      values[representation_index(name, keys, path + " (" + file.string() + ")")] = tensor;
  } else {
    for (const auto& [name, value] : json.items())
      values[representation_index(name, keys, path)] = tensor_from_json(value, path + "." + name);
  }
  // A lone representation keeps its place: one entry would mean "for all".
  return values;
}

}  // namespace

Experiment parse_experiment(std::string_view text, const models::LanguageModel& model, const std::string& folder,
                            const InterventionRegistry& registry) {
  Json json;
  try {
    json = detail::parse_json(text);
  } catch (const ConfigError& error) {
    throw ConfigError(std::string("experiment: ") + error.what());
  }
  only_keys(json, "experiment",
            {"config", "base", "sources", "unit_locations", "subspaces", "source_representations",
             "output_original_output", "collect_only", "generate", "description"});
  for (const char* needed : {"config", "base"}) {
    if (!json.contains(needed)) throw ConfigError(std::string("experiment: '") + needed + "' is missing");
  }
  Experiment experiment;
  if (json["config"].is_string()) {
    experiment.config_folder = (std::filesystem::path(folder) / json["config"].get<std::string>()).string();
    experiment.config = IntervenableConfig::load(experiment.config_folder, registry);
  } else {
    experiment.config = IntervenableConfig::parse(json["config"].dump(), registry, folder);
  }
  RunRequest& request = experiment.request;
  request.base = read_batch(json["base"], "base", model);
  if (json.contains("sources") && !json["sources"].is_null()) {
    const Json& sources = json["sources"];
    if (!sources.is_array())
      throw ConfigError("sources: expected a list of inputs or nulls, got " + json_text(sources));
    for (std::size_t i = 0; i < sources.size(); ++i) {
      request.sources.push_back(
          sources[i].is_null() ? std::nullopt : std::optional(read_batch(sources[i], item("sources", i), model)));
    }
  }
  if (json.contains("unit_locations")) request.locations = Locations::parse(json["unit_locations"].dump());
  if (json.contains("subspaces")) request.subspaces = read_subspaces(json["subspaces"], "subspaces");
  if (json.contains("source_representations")) {
    request.source_representations =
        read_source_representations(json["source_representations"], experiment.config, folder);
  }
  request.original = boolean(json, "output_original_output", true);
  request.collect_only = boolean(json, "collect_only", false);
  request.tokenizer = model.tokenizer.get();
  if (json.contains("generate") && !json["generate"].is_null()) {
    request.generation.emplace();
    experiment.generate = detail::read_generate(json["generate"], "generate", *request.generation);
    detail::check_stop_tokens(*experiment.generate, model.model->vocabulary_size());
    if (request.generation->source_steps == SourceSteps::kSame &&
        std::none_of(request.sources.begin(), request.sources.end(),
                     [](const auto& source) { return source.has_value(); })) {
      throw ConfigError(
          "generate.source_steps: \"same\" is for a source that generates too, and the experiment has none");
    }
  }
  const torch::Device device = model.model->device();
  request.base = request.base.to(device);
  for (auto& source : request.sources) {
    if (source) source = source->to(device);
  }
  return experiment;
}

Experiment load_experiment(const std::string& path, const models::LanguageModel& model,
                           const InterventionRegistry& registry) {
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

Plan plan_experiment(const Experiment& experiment, const models::LanguageModel& model,
                     const InterventionRegistry& registry) {
  const auto intervenable = experiment.config_folder.empty()
                                ? std::make_shared<IntervenableModelImpl>(experiment.config, model.model, registry)
                                : IntervenableModelImpl::load(experiment.config_folder, model.model, registry);
  return intervenable->compile(experiment.request);
}

Result run_experiment(const Experiment& experiment, const models::LanguageModel& model,
                      const InterventionRegistry& registry) {
  if (experiment.generate) throw PlanError("this experiment generates; use generate_experiment");
  return run(plan_experiment(experiment, model, registry), experiment.request.base, experiment.request.sources);
}

GenerateResult generate_experiment(const Experiment& experiment, const models::LanguageModel& model,
                                   const InterventionRegistry& registry) {
  if (!experiment.generate) throw PlanError("this experiment has no \"generate\"; use run_experiment");
  return generate(plan_experiment(experiment, model, registry), experiment.request.base, experiment.request.sources,
                  *experiment.generate);
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
    if (result.collected[i].valid.defined())
      tensors.emplace_back("collected." + std::to_string(i) + ".valid", result.collected[i].valid);
  }
  return tensors;
}

}  // namespace vene
