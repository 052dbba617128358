// SPDX-License-Identifier: Apache-2.0
#include "src/cli/saved.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene::cli {
namespace {

using Json = nlohmann::ordered_json;

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

// metrics.json: the numbers of an object.
Metrics of_json(const std::string& text) {
  Metrics metrics;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return metrics;
  for (const auto& [name, value] : json.items()) {
    if (value.is_number()) metrics.emplace_back(name, number_text(value.get<double>()));
  }
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
    if (file.name == "metrics.json") of_object = of_json(io::read_file(file.path));
    if (file.name == "log.csv") of_training = of_log(io::read_file(file.path));
  }
  const Metrics& metrics = of_object.empty() ? of_training : of_object;
  const char* from = of_object.empty() ? "The last line of `log.csv`" : "From `metrics.json`";
  if (metrics.empty()) return;
  card << "\n## Metrics\n\n" << from << ".\n\n| metric | value |\n|---|---|\n";
  for (const auto& [name, value] : metrics) card << "| " << cell(name) << " | " << value << " |\n";
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<std::size_t>(at), ",");
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
  return print.architecture + " of " + std::to_string(print.layers) + " layers, width " + std::to_string(print.hidden_size) + " and vocabulary " + std::to_string(print.vocabulary) +
         " (weights " + print.weights + ")";
}

std::string site_text(const RepresentationConfig& config) {
  const bool path = config.component.find('.') != std::string::npos;
  std::string text = config.component + (path ? "" : " of layer " + std::to_string(config.layer)) + ", unit " + config.unit;
  if (config.max_number_of_units > 1) text += ", " + std::to_string(config.max_number_of_units) + " units together";
  return text;
}

std::string options_text(const SavedFolder& saved, std::size_t representation) {
  static const std::set<std::string> kSaidElsewhere{"layer", "component", "unit", "max_number_of_units", "intervention_type", "hidden_source_representation", "source_representation"};
  std::vector<std::string> options;
  const Json config = Json::parse(saved.config.to_json());
  for (const auto& [name, value] : config["representations"][representation].items()) {
    if (!kSaidElsewhere.contains(name)) options.push_back(name + " " + value.dump());
  }
  const auto& dimensions = saved.config.intervention_dimensions;
  if (representation < dimensions.size() && dimensions[representation]) options.push_back("interchange_dim " + std::to_string(*dimensions[representation]));
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
  card << "---\n\n# " << name.substr(name.find('/') + 1) << "\n\nInterventions on the activations of a model, saved by " << (saved.pyvene ? "pyvene" : "vene " + saved.vene_version) << ".\n\n";
  if (!base_model.empty()) card << "- base model: [" << base_model << "](https://huggingface.co/" << base_model << ")\n";
  card << "- made for: " << model_text(saved) << "\n- mode: " << (saved.config.mode == Mode::kSerial ? "serial" : "parallel") << "\n- parameters: " << grouped(all_parameters(saved)) << "\n";
  if (!saved.model_parts.empty()) {
    card << "- parts of the model that trained along: " << saved.model_parts.size() << " tensors, " << grouped(parameter_count(saved.model_parts)) << " values; loading writes them into the model\n";
  }
  card << "\n| site | type | options | source | parameters |\n|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < saved.representations.size(); ++i) {
    const SavedRepresentation& one = saved.representations[i];
    card << "| " << cell(site_text(saved.config.representations[i])) << " | " << one.type << " | " << cell(options_text(saved, i)) << " | "
         << (one.constant_source ? "a constant" : one.needs_source ? "from a run" : "takes none") << " | "
         << (one.linked_to.empty() ? grouped(parameter_count(one.tensors)) : "those of " + one.linked_to) << " |\n";
  }
  write_metrics(card, saved);
  const std::string folder = name.substr(name.find('/') + 1);
  card << "\n## Loading\n\n```sh\nvene pull " << name << " " << folder << "\nvene inspect " << folder << "\nvene generate -m MODEL -p 'Once upon a time' --config " << folder
       << "\n```\n\n```cpp\n#include <vene/vene.h>\n\nconst vene::models::LanguageModel lm = vene::models::load(\"MODEL\");\n"
          "const auto interventions = vene::IntervenableModelImpl::load(\""
       << folder << "\", lm.model);\n```\n\n`MODEL` is a folder with a checkpoint of the model.\n";
  if (saved.pyvene) card << "In Python: `pyvene.IntervenableModel.load(\"" << folder << "\", model)`.\n";
  return card.str();
}

}  // namespace vene::cli
