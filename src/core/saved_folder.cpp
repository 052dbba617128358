// SPDX-License-Identifier: Apache-2.0
#include "vene/core/saved_folder.h"

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "src/core/pyvene_folder.h"
#include "src/core/saved_files.h"
#include "vene/base/error.h"
#include "vene/io/torch_archive.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using detail::Json;

SavedTensor described(const io::TensorInfo& info) {
  return {info.name, info.dtype, info.shape, info.end - info.begin, false};
}

// pyvene writes no list of parameters.
bool is_parameter_of_pyvene(const std::string& name) {
  for (const char* other :
       {"source_representation", "embed_dim", "interchange_dim", "intervention_population", "temperature"}) {
    if (name == other) return false;
  }
  return !name.ends_with(".base");
}

// In pieces: parts of a model may be large.
bool holds_no_numbers(const torch::Tensor& tensor) {
  constexpr std::int64_t kPiece = std::int64_t{1} << 22;
  const torch::ScalarType type = tensor.scalar_type();
  if (type != torch::kFloat && type != torch::kDouble && type != torch::kHalf && type != torch::kBFloat16) return false;
  const torch::Tensor values = tensor.detach().flatten();
  for (std::int64_t at = 0; at < values.numel(); at += kPiece) {
    if (values.slice(0, at, std::min(at + kPiece, values.numel())).isnan().any().item<bool>()) return true;
  }
  return false;
}

void check_values(const std::string& name, const torch::Tensor& tensor, std::vector<std::string>& problems) {
  if (holds_no_numbers(tensor)) problems.push_back("'" + name + "' holds values that are not numbers");
}

// An intervention of a representation's type, of any size, for the names of its tensors; null where one cannot be made
// without the model.
std::shared_ptr<Intervention> sample_of(const IntervenableConfig& config, std::size_t representation,
                                        const InterventionRegistry& registry) {
  InterventionSettings settings{.width = 2,
                                .low_rank_dimension = 1,
                                .latent_dim = 1,
                                .subspace_partition = {},
                                .source_representation = {},
                                .options = {}};
  try {
    const InterventionInfo& info = registry.at(config.type_of(representation));
    settings.options = config.representations[representation].options;
    for (const OptionInfo& option : info.options) {
      if (option.default_value) settings.options[option.name] = *option.default_value;
      if (option.name == "seed")
        settings.options["seed"] = std::int64_t{0};  // nothing is drawn from the generator of others
    }
    return info.build(settings);
  } catch (const std::exception&) {
    return nullptr;
  }
}

// The tensors that loading a representation asks for. An archive of pyvene's need not have the buffers.
std::set<std::string> expected_names(const Intervention* sample, bool constant, bool pyvene) {
  std::set<std::string> names;
  if (constant) names.insert("source_representation");
  if (sample == nullptr) return names;
  if (pyvene) {
    for (const auto& item : sample->named_parameters()) names.insert(item.key());
  } else {
    for (const auto& [name, tensor] : sample->state()) names.insert(name);
  }
  return names;
}

std::vector<SavedTensor> pyvene_tensors(const std::string& archive, std::set<std::string> expected,
                                        std::vector<std::string>& problems) {
  std::vector<SavedTensor> tensors;
  const std::string file = fs::path(archive).filename().string();
  if (!fs::exists(archive)) {
    if (!expected.empty()) problems.push_back("'" + file + "' is missing");
    return tensors;
  }
  for (const auto& [name, tensor] : io::read_state_dict(archive)) {
    tensors.push_back({name, tensor.scalar_type(), tensor.sizes().vec(), static_cast<std::int64_t>(tensor.nbytes()),
                       is_parameter_of_pyvene(name)});
    check_values(file + ": " + name, tensor, problems);
    expected.erase(name);
  }
  for (const std::string& name : expected) problems.push_back("'" + file + ": " + name + "' is missing");
  return tensors;
}

// The tensors of a representation in a file of vene's; what it names goes out of `unclaimed`.
std::vector<SavedTensor> own_tensors(const std::optional<io::Safetensors>& file, const std::string& key,
                                     const std::set<std::string>& parameters, const Intervention* sample, bool constant,
                                     std::set<std::string>& unclaimed, std::vector<std::string>& problems) {
  std::vector<SavedTensor> tensors;
  std::set<std::string> expected = expected_names(sample, constant, false);
  const std::string prefix = key + ".";
  for (const io::TensorInfo& info : file ? file->tensors() : std::vector<io::TensorInfo>{}) {
    if (!info.name.starts_with(prefix)) continue;
    const std::string name = info.name.substr(prefix.size());
    tensors.push_back(described(info));
    tensors.back().name = name;
    tensors.back().parameter = parameters.contains(info.name);
    check_values(info.name, file->tensor(info.name), problems);
    if (expected.erase(name) > 0 || sample == nullptr || name == "source_representation") unclaimed.erase(info.name);
  }
  for (const std::string& name : expected) problems.push_back("'" + prefix + name + "' is missing");
  return tensors;
}

void list_files(SavedFolder& saved, const std::string& folder, const detail::SavedFiles& files) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with(".")) {
      entry.disable_recursion_pending();
      continue;
    }
    // By its letters: what a link leads to has another place.
    const std::string name = entry->path().lexically_relative(folder).string();
    std::error_code nowhere;  // of a link
    if (!entry->is_regular_file(nowhere) || name == detail::kTensorsFile || name == detail::kPartsFile) continue;
    saved.files.push_back({name, entry->path().string(), 0});
  }
  if (error) throw IoError(folder + ": " + error.message());
  if (files.tensors) saved.files.push_back({detail::kTensorsFile, files.tensors_path, 0});
  if (files.parts) saved.files.push_back({detail::kPartsFile, files.parts_path, 0});
  for (SavedFile& file : saved.files) {
    const std::uintmax_t bytes = fs::file_size(file.path, error);
    if (error) throw IoError(file.path + ": " + error.message());
    file.bytes = static_cast<std::int64_t>(bytes);
  }
  std::sort(saved.files.begin(), saved.files.end(),
            [](const SavedFile& a, const SavedFile& b) { return a.name < b.name; });
}

void check_is_saved(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) throw IoError(folder + ": no such folder");
  if (!fs::is_directory(folder)) throw IoError(folder + ": is a file, expected a folder of saved interventions");
  if (!fs::is_regular_file(fs::path(folder) / detail::kConfigFile)) {
    const fs::path trained = fs::path(folder) / "intervention";
    const std::string hint =
        fs::is_regular_file(trained / detail::kConfigFile) ? "; what a training saved is in " + trained.string() : "";
    throw IoError(folder + ": holds no saved interventions: there is no config.json" + hint);
  }
}

std::set<std::string> names_in(const io::Safetensors& file, const char* entry) {
  const auto found = file.metadata().find(entry);
  std::string problem;
  const Json names = found == file.metadata().end() ? Json() : detail::read_json(found->second, problem);
  std::set<std::string> set;
  if (!names.is_array()) return set;
  for (const Json& name : names) {
    if (name.is_string()) set.insert(name.get<std::string>());
  }
  return set;
}

}  // namespace

std::int64_t parameter_count(const std::vector<SavedTensor>& tensors) {
  std::int64_t count = 0;
  for (const SavedTensor& tensor : tensors) {
    std::int64_t values = tensor.parameter ? 1 : 0;
    for (const std::int64_t size : tensor.shape) values *= size;
    count += values;
  }
  return count;
}

SavedFolder inspect_saved(const std::string& folder, const InterventionRegistry& registry) {
  check_is_saved(folder);
  const detail::SavedFiles files = detail::find_saved(folder);
  const Json json = detail::read_json<ConfigError>(files.config, files.config_path);
  // The name of pyvene up to 0.0.6.
  const char* list = json.is_object() && json.contains("intervenable_representations") ? "intervenable_representations"
                                                                                       : "representations";
  if (json.is_object() && !json.contains(list)) {
    const char* hint =
        json.contains("model_type") || json.contains("architectures") ? " (it is a model's: see vene info)" : "";
    throw IoError(files.config_path + ": says nothing of interventions, there are no 'representations'" + hint);
  }
  SavedFolder saved;
  saved.config = detail::parse_config(files, registry);
  if (json.is_object()) {
    if (const auto version = json.find("vene_version"); version != json.end() && version->is_string())
      saved.vene_version = *version;
    if (const auto version = json.find("format_version"); version != json.end())
      saved.format_version = *version;  // an integer, or the config was refused
    const Json& representations = json[list];
    saved.pyvene = saved.vene_version.empty() && representations.is_array() && !representations.empty() &&
                   representations[0].is_array();
  }
  const std::vector<std::string> keys = representation_keys(saved.config);
  const std::set<std::string> parameters =
      files.tensors ? names_in(*files.tensors, "parameters") : std::set<std::string>{};
  std::set<std::string> unclaimed;
  if (files.tensors) {
    for (const io::TensorInfo& info : files.tensors->tensors()) unclaimed.insert(info.name);
  }
  std::map<ConfigKey, std::string> links;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const RepresentationConfig& config = saved.config.representations[i];
    SavedRepresentation entry{
        .key = keys[i],
        .type = saved.config.type_of(i),
        .constant_source = config.hidden_source_representation || config.source_representation.defined()};
    const auto& constants = saved.config.intervention_constant_sources;
    entry.needs_source = i >= constants.size() || !constants[i];
    if (config.intervention_link_key) {
      const auto [first, is_first] = links.emplace(*config.intervention_link_key, keys[i]);
      if (!is_first) entry.linked_to = first->second;
    }
    const std::shared_ptr<Intervention> sample = sample_of(saved.config, i, registry);
    if (saved.pyvene) {
      entry.tensors =
          pyvene_tensors(detail::pyvene_archive(folder, saved.config, keys[i]),
                         expected_names(sample.get(), config.hidden_source_representation, true), saved.problems);
    } else if (entry.linked_to.empty()) {
      entry.tensors = own_tensors(files.tensors, keys[i], parameters, sample.get(), config.hidden_source_representation,
                                  unclaimed, saved.problems);
    }
    saved.representations.push_back(std::move(entry));
  }
  for (const std::string& name : unclaimed)
    saved.problems.push_back("extra tensor '" + name + "': no representation of config.json asks for it");
  if (files.parts) {
    for (const io::TensorInfo& info : files.parts->tensors()) {
      saved.model_parts.push_back(described(info));
      saved.model_parts.back().parameter = true;
      check_values(info.name, files.parts->tensor(info.name), saved.problems);
    }
  }
  list_files(saved, folder, files);
  return saved;
}

}  // namespace vene
