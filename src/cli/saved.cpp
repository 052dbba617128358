// SPDX-License-Identifier: Apache-2.0
#include "src/cli/saved.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>

#include "src/base/readable.h"
#include "src/config/parse.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene::cli {
namespace {

using Json = detail::OrderedJson;

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) fields.push_back(field);
  return fields;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

using Metrics = std::vector<std::pair<std::string, std::string>>;

void add_numbers(const Json& json, const std::string& prefix, Metrics& metrics) {
  for (const auto& [name, value] : json.items()) {
    if (value.is_number()) metrics.emplace_back(prefix + shortened(name), number_text(value.get<double>()));
    if (value.is_object()) add_numbers(value, prefix + shortened(name) + ".", metrics);
  }
}

// metrics.json: the numbers of an object, and of those within it ("test.accuracy").
Metrics of_json(const std::string& path) {
  constexpr std::int64_t kMostBytes = 256 * 1024;  // objects in the order of their text are searched from their start
  const std::string text = io::read_file(path);
  if (text.size() > kMostBytes)
    throw IoError(path + ": has " + std::to_string(text.size()) + " bytes, expected a few numbers");
  std::string problem;
  const Json json = detail::read_ordered_json(text, problem);
  if (!problem.empty()) throw IoError(path + ": " + problem);
  Metrics metrics;
  if (json.is_object()) add_numbers(json, "", metrics);
  return metrics;
}

// log.csv of a training: its last line.
Metrics of_log(const std::string& text) {
  std::istringstream lines(text);
  std::string header, last;
  std::getline(lines, header);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) last = line;
  }
  const std::vector<std::string> names = fields_of(header), values = fields_of(last);
  Metrics metrics;
  for (std::size_t i = 0; i < names.size() && names.size() == values.size(); ++i) {
    char* end = nullptr;
    const double value = std::strtod(values[i].c_str(), &end);
    if (end != values[i].c_str() && *end == '\0') metrics.emplace_back(names[i], number_text(value));
  }
  return metrics;
}

// Text of a folder in a cell of a table.
std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '|' ? "\\|" : c == '\n' || c == '\r' ? " " : std::string(1, c);
  return safe;
}

void write_metrics(std::ostringstream& card, const SavedFolder& saved) {
  Metrics of_object, of_training;
  for (const SavedFile& file : saved.files) {
    if (file.name == "metrics.json") of_object = of_json(file.path);
    if (file.name == "log.csv") of_training = of_log(io::read_file(file.path));
  }
  const Metrics& metrics = of_object.empty() ? of_training : of_object;
  const char* from = of_object.empty() ? "The last line of `log.csv`" : "From `metrics.json`";
  if (metrics.empty()) return;
  card << "\n## Metrics\n\n" << from << ".\n\n| metric | value |\n|---|---|\n";
  for (const auto& [name, value] : metrics) card << "| " << cell(name) << " | " << value << " |\n";
}

bool reads_a_run(const SavedRepresentation& one) {
  return one.needs_source && !one.constant_source;
}

// One entry a group, null where none of its interventions reads a run.
std::vector<bool> groups_with_source(const SavedFolder& saved) {
  std::vector<bool> groups;
  std::optional<ConfigKey> latest;
  for (std::size_t i = 0; i < saved.representations.size(); ++i) {
    const std::optional<ConfigKey>& key = saved.config.representations[i].group_key;
    if (groups.empty() || !key || key != latest) groups.push_back(false);
    latest = key;
    groups.back() = groups.back() || reads_a_run(saved.representations[i]);
  }
  return groups;
}

Json example_locations(const SavedFolder& saved, std::size_t groups) {
  const auto& representations = saved.config.representations;
  const std::int64_t units = representations.front().max_number_of_units;
  const bool alike = std::all_of(representations.begin(), representations.end(), [&](const auto& one) {
    return one.unit == "pos" && one.max_number_of_units == units;
  });
  if (!alike) return nullptr;  // the whole value
  const Json at = units == 1 ? Json("last") : Json{{"last", units}};
  if (saved.config.mode == Mode::kParallel) return {{"sources->base", at}};
  Json hops = Json::object();
  for (std::size_t g = 0; g < groups; ++g)
    hops["source_" + std::to_string(g) + "->" + (g + 1 < groups ? "source_" + std::to_string(g + 1) : "base")] = at;
  return hops;
}

// An experiment with the interventions of a folder that `vene run` takes.
std::string example_experiment(const SavedFolder& saved, const std::string& folder) {
  Json experiment{{"config", folder}, {"base", {{"text", "The Space Needle is in"}}}, {"sources", Json::array()}};
  const std::vector<bool> groups = groups_with_source(saved);
  const auto is_direction = [](const SavedRepresentation& one) { return one.type == "directions"; };
  const bool directions = std::all_of(saved.representations.begin(), saved.representations.end(), is_direction);
  const Json locations = example_locations(saved, groups.size());
  // Whole values are exchanged between texts of one length only.
  const Json text = locations.is_null() ? experiment["base"]["text"] : Json("The Colosseum is in");
  Json subspaces = Json::array();
  for (const bool reads : groups) {
    // Of directions, which are found layer by layer, one is exchanged at a time.
    const bool source = reads && (!directions || experiment["sources"].empty());
    experiment["sources"].push_back(source ? Json{{"text", text}} : Json());
    subspaces.push_back(source ? Json::array({Json::array({0})}) : Json());
  }
  experiment["unit_locations"] = locations;
  if (directions && groups.size() == saved.representations.size()) experiment["subspaces"] = subspaces;
  return detail::written_json(experiment, -1);
}

void write_loading(std::ostringstream& card, const SavedFolder& saved, const std::string& name,
                   const std::string& folder) {
  card << "\n## Loading\n\n";
  const bool needs_source = std::any_of(saved.representations.begin(), saved.representations.end(), reads_a_run);
  if (needs_source) {
    card << "They need a source: an input whose values take the place of those of the base. `experiment.json` names "
            "both, with texts and places of yours:\n\n```json\n"
         << example_experiment(saved, folder) << "\n```\n\n";
  }
  card << "```sh\nvene pull " << name << " " << folder << "\nvene inspect " << folder << "\n"
       << (needs_source ? "vene run -m MODEL experiment.json -o out"
                        : "vene generate -m MODEL -p 'Once upon a time' --config " + folder)
       << "\n```\n\n```cpp\n#include <vene/vene.h>\n\nconst vene::models::LanguageModel lm = "
          "vene::models::load(\"MODEL\");\n"
          "const auto interventions = vene::IntervenableModelImpl::load(\""
       << folder << "\", lm.model);\n";
  if (needs_source)
    card << "const vene::Result result = vene::run_experiment(vene::load_experiment(\"experiment.json\", lm), lm);\n";
  card << "```\n\n`MODEL` is a folder with a checkpoint of the model.\n";
  if (saved.pyvene) card << "In Python: `pyvene.IntervenableModel.load(\"" << folder << "\", model)`.\n";
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::int64_t all_parameters(const SavedFolder& saved) {
  std::int64_t count = parameter_count(saved.model_parts);
  for (const SavedRepresentation& one : saved.representations) count += parameter_count(one.tensors);
  return count;
}

std::string model_text(const SavedFolder& saved) {
  if (!saved.config.model_fingerprint) return saved.config.model_type.empty() ? "not named" : saved.config.model_type;
  const ModelFingerprint& print = *saved.config.model_fingerprint;
  return print.architecture + " of " + std::to_string(print.layers) + " layers, width " +
         std::to_string(print.hidden_size) + " and vocabulary " + std::to_string(print.vocabulary) + " (weights " +
         print.weights + ")";
}

std::string site_text(const RepresentationConfig& config) {
  const bool path = config.component.find('.') != std::string::npos;
  std::string text =
      config.component + (path ? "" : " of layer " + std::to_string(config.layer)) + ", unit " + config.unit;
  if (config.max_number_of_units > 1) text += ", " + std::to_string(config.max_number_of_units) + " units together";
  return text;
}

std::string options_text(const SavedFolder& saved, std::size_t representation) {
  static const std::set<std::string> kSaidElsewhere{"layer",
                                                    "component",
                                                    "unit",
                                                    "max_number_of_units",
                                                    "intervention_type",
                                                    "hidden_source_representation",
                                                    "source_representation"};
  std::vector<std::string> options;
  const Json config = detail::config_json(saved.config);
  for (const auto& [name, value] : config["representations"][representation].items()) {
    if (!kSaidElsewhere.contains(name)) options.push_back(name + " " + detail::written_json(value, -1));
  }
  const auto& dimensions = saved.config.intervention_dimensions;
  if (representation < dimensions.size() && dimensions[representation])
    options.push_back("interchange_dim " + std::to_string(*dimensions[representation]));
  return join(options);
}

std::string model_card(const SavedFolder& saved, const std::string& name, const std::string& base_model) {
  std::set<std::string> types;
  for (const SavedRepresentation& one : saved.representations) types.insert(one.type);
  std::ostringstream card;
  card << "---\nlibrary_name: vene\n";
  if (!base_model.empty()) card << "base_model: \"" << base_model << "\"\n";
  card << "tags:\n- vene\n- interventions\n- interpretability\n";
  if (saved.pyvene) card << "- pyvene\n";
  for (const std::string& type : types) card << "- \"" << type << "\"\n";
  card << "---\n\n# " << name.substr(name.find('/') + 1) << "\n\nInterventions on the activations of a model, saved by "
       << (saved.pyvene ? "pyvene" : "vene " + saved.vene_version) << ".\n\n";
  if (!base_model.empty())
    card << "- base model: [" << base_model << "](https://huggingface.co/" << base_model << ")\n";
  card << "- made for: " << model_text(saved)
       << "\n- mode: " << (saved.config.mode == Mode::kSerial ? "serial" : "parallel")
       << "\n- parameters: " << grouped(all_parameters(saved)) << "\n";
  if (!saved.model_parts.empty()) {
    card << "- parts of the model that trained along: " << saved.model_parts.size() << " tensors, "
         << grouped(parameter_count(saved.model_parts)) << " values; loading writes them into the model\n";
  }
  card << "\n| site | type | options | source | parameters |\n|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < saved.representations.size(); ++i) {
    const SavedRepresentation& one = saved.representations[i];
    card << "| " << cell(site_text(saved.config.representations[i])) << " | " << one.type << " | "
         << cell(options_text(saved, i)) << " | "
         << (one.constant_source ? "a constant"
             : one.needs_source  ? "from a run"
                                 : "takes none")
         << " | " << (one.linked_to.empty() ? grouped(parameter_count(one.tensors)) : "those of " + one.linked_to)
         << " |\n";
  }
  write_metrics(card, saved);
  write_loading(card, saved, name, name.substr(name.find('/') + 1));
  return card.str();
}

}  // namespace vene::cli
