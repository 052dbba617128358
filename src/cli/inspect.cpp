// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"
#include "src/cli/saved.h"
#include "src/config/parse.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

using Json = detail::OrderedJson;

std::string dtype_text(torch::ScalarType dtype) {
  std::string text = c10::toString(dtype);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text == "float"    ? "float32"
         : text == "double" ? "float64"
         : text == "half"   ? "float16"
         : text == "long"   ? "int64"
         : text == "int"    ? "int32"
                            : text;
}

Json tensors_json(const std::vector<SavedTensor>& tensors) {
  Json list = Json::array();
  for (const SavedTensor& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"shape", tensor.shape},
                    {"dtype", dtype_text(tensor.dtype)},
                    {"bytes", tensor.bytes},
                    {"parameter", tensor.parameter}});
  }
  return list;
}

Json as_json(const SavedFolder& saved) {
  const Json config = detail::config_json(saved.config);
  Json json{
      {"format", saved.pyvene ? "pyvene" : "vene"}, {"format_version", saved.format_version}, {"mode", config["mode"]}};
  json["vene_version"] = saved.vene_version.empty() ? Json() : Json(saved.vene_version);
  json["model"] = config.contains("model_fingerprint") ? config["model_fingerprint"] : Json();
  json["parameters"] = all_parameters(saved);
  json["representations"] = Json::array();
  for (std::size_t i = 0; i < saved.representations.size(); ++i) {
    const SavedRepresentation& one = saved.representations[i];
    json["representations"].push_back({{"key", one.key},
                                       {"type", one.type},
                                       {"config", config["representations"][i]},
                                       {"linked_to", one.linked_to.empty() ? Json() : Json(one.linked_to)},
                                       {"constant_source", one.constant_source},
                                       {"needs_source", one.needs_source},
                                       {"parameters", parameter_count(one.tensors)},
                                       {"tensors", tensors_json(one.tensors)}});
  }
  json["model_parts"] = tensors_json(saved.model_parts);
  json["problems"] = saved.problems;
  json["files"] = Json::array();
  for (const SavedFile& file : saved.files) json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
  return json;
}

void line(const char* name, const std::string& value, const char* indent = "") {
  std::printf("%s%-14s %s\n", indent, name, value.c_str());
}

void print_tensors(const std::vector<SavedTensor>& tensors) {
  std::size_t longest = 0;
  for (const SavedTensor& tensor : tensors) longest = std::max(longest, tensor.name.size());
  for (const SavedTensor& tensor : tensors) {
    std::printf("  %-*s  %-16s %-8s %12s bytes%s\n", static_cast<int>(longest), tensor.name.c_str(),
                shape_text(tensor.shape).c_str(), dtype_text(tensor.dtype).c_str(), grouped(tensor.bytes).c_str(),
                tensor.parameter ? "" : ", no parameter");
  }
}

void print(const SavedFolder& saved) {
  line("format", saved.pyvene ? "pyvene"
                              : "vene, format version " + std::to_string(saved.format_version) +
                                    (saved.vene_version.empty() ? "" : ", written by vene " + saved.vene_version));
  line("model", model_text(saved));
  line("mode", saved.config.mode == Mode::kSerial ? "serial" : "parallel");
  line("parameters", grouped(all_parameters(saved)));
  std::vector<std::string> files;
  for (const SavedFile& file : saved.files) files.push_back(file.name + " (" + grouped(file.bytes) + " bytes)");
  line("files", join(files));
  for (const std::string& problem : saved.problems) line("problem", problem);
  for (std::size_t i = 0; i < saved.representations.size(); ++i) {
    const SavedRepresentation& one = saved.representations[i];
    std::printf("\n%s\n", one.key.c_str());
    line("site", site_text(saved.config.representations[i]), "  ");
    line("type", one.type, "  ");
    if (const std::string options = options_text(saved, i); !options.empty()) line("options", options, "  ");
    line("source", one.constant_source ? "a constant" : one.needs_source ? "from a run" : "takes none", "  ");
    if (!one.linked_to.empty()) line("linked to", one.linked_to, "  ");
    line("parameters", grouped(parameter_count(one.tensors)), "  ");
    print_tensors(one.tensors);
  }
  if (saved.model_parts.empty()) return;
  std::printf("\nparts of the model that trained along\n");
  line("parameters", grouped(parameter_count(saved.model_parts)), "  ");
  print_tensors(saved.model_parts);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "inspect",
      "Say what a folder of saved interventions holds, vene's or pyvene's: sites, types, tensors, parameters");
  command->add_option("DIR", *folder, "Folder that was saved")->required()->option_text("DIR REQUIRED");
  command->add_flag("--json", *json, "Print JSON");
  command->footer("Example: vene inspect tests/golden/pyvene/saved_constants");
  command->callback([folder, json] {
    const SavedFolder saved = inspect_saved(*folder);
    *json ? void(std::printf("%s\n", detail::written_json(as_json(saved)).c_str())) : print(saved);
  });
}

}  // namespace vene::cli
