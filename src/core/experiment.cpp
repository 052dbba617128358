// SPDX-License-Identifier: Apache-2.0
#include "vene/core/experiment.h"

#include <algorithm>
#include <filesystem>

#include "src/base/at_place.h"
#include "src/base/readable.h"
#include "src/config/json_value.h"
#include "src/core/experiment_json.h"
#include "src/core/generate_json.h"
#include "src/core/parse_experiment.h"
#include "src/core/plan_data.h"
#include "src/core/sampling.h"
#include "src/locations/parse.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using detail::Json;
using detail::JsonReader;
using detail::read_batch;

// A list with one entry a representation as it was written: one a representation that those stand for.
template <class Entry>
void spread(std::vector<Entry>& entries, const std::vector<std::size_t>& origins, std::size_t written) {
  if (entries.size() != written || entries.size() < 2) return;
  std::vector<Entry> all;
  for (const std::size_t origin : origins) all.push_back(entries[origin]);
  entries = std::move(all);
}

// Where each of a list of layers acts: where the representation does that stands for them. `config`: as it was written.
void spread_locations(Locations& locations, const IntervenableConfig& config, const std::vector<std::size_t>& origins) {
  std::size_t groups = 0;
  const std::vector<std::size_t> group = detail::group_of_representations(config, groups);
  for (auto& [name, hop] : locations.hops) {
    // In serial mode a hop's lists are of the representations of its group.
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (config.mode == Mode::kParallel || name.starts_with("source_" + std::to_string(group[i]) + "->"))
        members.push_back(i);
    }
    std::vector<std::size_t> from;
    for (const std::size_t origin : origins) {
      const auto found = std::find(members.begin(), members.end(), origin);
      if (found != members.end()) from.push_back(static_cast<std::size_t>(found - members.begin()));
    }
    for (SideSelection* side : {&hop.base, hop.source ? &*hop.source : nullptr}) {
      if (side == nullptr || side->for_all || side->units.size() != members.size()) continue;
      std::vector<UnitSelection> units;
      for (const std::size_t member : from) units.push_back(side->units[member]);
      side->units = std::move(units);
    }
  }
}

// A representation by its key or its index.
std::size_t representation_index(const std::string& name, const std::vector<std::string>& keys,
                                 const std::string& path) {
  const auto found = std::find(keys.begin(), keys.end(), name);
  if (found != keys.end()) return static_cast<std::size_t>(found - keys.begin());
  if (!name.empty() && name.size() < 7 &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) {
    const auto index = static_cast<std::size_t>(std::stoul(name));  // at most six digits
    if (index < keys.size()) return index;
    throw ConfigError(path + ": no representation " + name + "; there are " + std::to_string(keys.size()));
  }
  throw ConfigError(path + ": no representation '" + shortened(name) + "'" + name_hint(name, keys));
}

std::vector<torch::Tensor> read_source_representations(JsonReader json, const IntervenableConfig& config,
                                                       const models::LanguageModel& model, const std::string& folder) {
  if (!json.json().is_object() || json.has("embedding_of")) return {detail::read_constant(json, model)};
  const std::vector<std::string> keys = representation_keys(config);
  std::vector<torch::Tensor> values(keys.size());
  if (json.has("file")) {
    json.refuse_others({"file"});
    const std::filesystem::path file = std::filesystem::path(folder) / json.at("file").text("a path");
    for (const auto& [name, tensor] : io::read_tensors(file.string()))
      values[representation_index(name, keys, json.path() + " (" + file.string() + ")")] = tensor;
  } else {
    for (const auto& [name, value] : json.json().items())
      values[representation_index(name, keys, json.path())] = detail::read_constant(json.at(name), model);
  }
  // A lone representation keeps its place: one entry would mean "for all".
  return values;
}

void read_generation(const JsonReader& json, const models::LanguageModel& model, Experiment& experiment) {
  RunRequest& request = experiment.request;
  request.generation.emplace();
  experiment.generate = detail::read_generate(json, request.base.positions(), *request.generation);
  detail::check_stop_tokens(*experiment.generate, model.model->vocabulary_size());
  if (request.generation->source_steps == SourceSteps::kSame &&
      std::none_of(request.sources.begin(), request.sources.end(),
                   [](const auto& source) { return source.has_value(); }))
    throw ConfigError(json.path() +
                      ".source_steps: \"same\" is for a source that generates too, and the experiment has none");
}

}  // namespace

Experiment detail::parse_experiment(const Json& json, const models::LanguageModel& model, const std::string& folder,
                                    const InterventionRegistry& registry) {
  JsonReader root = JsonReader::root(json, "experiment");
  root.expect_object("");
  root.refuse_others({"config", "base", "sources", "unit_locations", "subspaces", "source_representations",
                      "output_original_output", "collect_only", "generate", "description"});
  const JsonReader config = root.at("config"), base = root.at("base");
  Experiment experiment;
  const IntervenableConfig written = read_config(config, model, registry, folder, experiment.config_folder);
  std::vector<std::size_t> origins;
  experiment.config = expanded(written, *model.model, &origins);
  RunRequest& request = experiment.request;
  request.base = read_batch(base, model);
  if (const auto sources = root.find("sources")) {
    request.sources =
        detail::read_sources(*sources, [&](const JsonReader& source) { return read_batch(source, model); });
  }
  if (const auto locations = root.find("unit_locations")) request.locations = parse_locations(locations->json());
  if (const auto subspaces = root.find("subspaces")) request.subspaces = read_subspaces(*subspaces);
  if (const auto values = root.find("source_representations"))
    request.source_representations = read_source_representations(*values, experiment.config, model, folder);
  spread_locations(request.locations, written, origins);
  spread(request.subspaces, origins, written.representations.size());
  request.original = true;
  root.read("output_original_output", request.original);
  root.read("collect_only", request.collect_only);
  request.tokenizer = model.tokenizer.get();
  if (const auto generate = root.find("generate")) read_generation(*generate, model, experiment);
  const torch::Device device = model.model->device();
  request.base = request.base.to(device);
  for (auto& source : request.sources) {
    if (source) source = source->to(device);
  }
  return experiment;
}

Experiment parse_experiment(std::string_view text, const models::LanguageModel& model, const std::string& folder,
                            const InterventionRegistry& registry) {
  return detail::parse_experiment(detail::read_json<ConfigError>(text, "experiment"), model, folder, registry);
}

Experiment load_experiment(const std::string& path, const models::LanguageModel& model,
                           const InterventionRegistry& registry) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const std::string text = io::read_file(path);
  return detail::at_place(path, [&] { return parse_experiment(text, model, folder.empty() ? "." : folder, registry); });
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
    if (result.collected[i].original.defined())
      tensors.emplace_back("collected." + std::to_string(i) + ".original", result.collected[i].original);
  }
  return tensors;
}

}  // namespace vene
