// SPDX-License-Identifier: Apache-2.0
// pyvene's saved folders: config.json and, for each trained intervention or constant source, intkey_<key>.bin.
#include "src/core/pyvene_folder.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "src/base/json.h"
#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/interventions/autoencoder.h"
#include "vene/io/files.h"
#include "vene/io/stage_folder.h"
#include "vene/io/torch_archive.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string pyvene_class(const InterventionInfo& info, const std::string& where) {
  for (const std::string& alias : info.aliases) {
    if (alias.ends_with("Intervention")) return "<class 'pyvene.models.interventions." + alias + "'>";
  }
  throw IoError(where + ": pyvene has no intervention like '" + info.name + "'");
}

Json optional_json(const std::optional<std::int64_t>& value) {
  return value ? Json(*value) : Json();
}
Json key_json(const std::optional<ConfigKey>& key) {
  return key ? std::visit([](const auto& value) { return Json(value); }, *key) : Json();
}

Json dimension_json(const torch::Tensor& dimension) {
  if (!dimension.defined()) return nullptr;
  if (dimension.dim() == 0) return dimension.item<std::int64_t>();
  Json list = Json::array();
  for (std::int64_t i = 0; i < dimension.numel(); ++i) list.push_back(dimension[i].item<std::int64_t>());
  return list;
}

Json partition_json(const SubspacePartition& partition, const std::string& where) {
  if (partition.empty()) return nullptr;
  Json parts = Json::array();
  for (const SubspacePart& part : partition) {
    bool range = !part.empty();
    for (std::size_t i = 1; i < part.size(); ++i) range = range && part[i] == part[i - 1] + 1;
    if (range) {
      parts.push_back({part.front(), part.back() + 1});
    } else if (part.size() != 2) {
      parts.push_back(part);
    } else {
      throw IoError(where + ": pyvene reads a part of two columns as a range, so {" + std::to_string(part[0]) + ", " +
                    std::to_string(part[1]) + "} cannot be written for it");
    }
  }
  return parts;
}

// Options that pyvene has no field for, where they are not the default and nothing else carries them.
void check_options(const InterventionInfo& info, const RepresentationConfig& representation, const Traits& traits,
                   const std::string& where) {
  if (traits.trainable) return;  // those say how training starts; the tensors say the rest
  for (const OptionInfo& option : info.options) {
    const auto given = representation.options.find(option.name);
    if (given == representation.options.end() ||
        (option.default_value && detail::same_value(given->second, *option.default_value)))
      continue;
    throw IoError(where + ": pyvene has no place for the option '" + option.name + "' of '" + info.name + "'");
  }
}

// A key of any version of pyvene's as the one that it makes now: up to 0.1.6 they had dots, and up to 0.0.6 "repr" for
// "comp".
std::string key_of_now(std::string key) {
  std::replace(key.begin(), key.end(), '.', '_');
  const std::size_t repr = key.find("_repr_");
  if (key.starts_with("layer_") && repr != std::string::npos && repr < key.find("_comp_"))
    key.replace(repr, 6, "_comp_");
  return key;
}

std::string archive_name(const std::string& key) {
  return "intkey_" + key + ".bin";
}

}  // namespace

std::string detail::pyvene_archive(const std::string& folder, const IntervenableConfig& config,
                                   const std::string& key) {
  for (const std::string& own : config.sorted_keys) {
    // They need not stand in the order of the representations.
    if (own.find('/') == std::string::npos && key_of_now(own) == key)
      return (fs::path(folder) / archive_name(own)).string();
  }
  return (fs::path(folder) / archive_name(key)).string();
}

IntervenableConfig detail::within_widths(IntervenableConfig config, const models::Model& model) {
  for (std::size_t i = 0; i < config.intervention_dimensions.size(); ++i) {
    std::optional<std::int64_t>& dimension = config.intervention_dimensions[i];
    const RepresentationConfig& r = config.representations[i];
    const std::int64_t width = detail::site_of(config, i, model).width * r.max_number_of_units;
    if (dimension && width > 0)
      dimension = std::min(*dimension, std::max({width, r.low_rank_dimension.value_or(0), r.latent_dim.value_or(0)}));
  }
  return config;
}

void detail::read_pyvene_tensors(const IntervenableModelImpl& model, const std::string& folder) {
  for (std::size_t i = 0; i < model.keys().size(); ++i) {
    Intervention& intervention = *model.interventions()[i];
    const bool constant = model.config().representations[i].hidden_source_representation;
    const std::string archive = detail::pyvene_archive(folder, model.config(), model.keys()[i]);
    if (!intervention.traits().trainable && !constant) continue;
    restore_state(intervention, io::read_state_dict(archive), constant, archive);
  }
}

void IntervenableModelImpl::save_pyvene(const std::string& folder, const InterventionRegistry& registry) const {
  if (!changed_parts().empty())
    throw IoError(folder + ": parts of the model were trained along (" + *changed_parts().begin() +
                  " is the first), which are not written in pyvene's form; use save");
  Json config{{"mode", config_.mode == Mode::kSerial ? "serial" : "parallel"}, {"sorted_keys", keys_}};
  for (const char* list :
       {"representations", "intervention_types", "intervention_dimensions", "intervention_constant_sources"})
    config[list] = Json::array();
  std::vector<std::pair<std::string, NamedTensors>> archives;
  for (std::size_t i = 0; i < interventions_.size(); ++i) {
    const Intervention& intervention = *interventions_[i];
    const RepresentationConfig& r = config_.representations[i];
    const std::string where = "representations[" + std::to_string(i) + "]";
    if (r.intervention) throw IoError(where + ": a ready intervention (a lambda, say) cannot be written");
    const InterventionInfo& info = registry.at(config_.type_of(i));
    const Traits traits = intervention.traits();
    check_options(info, r, traits, where);
    if (r.source_site) throw IoError(where + ": pyvene reads a source where it is written, and has no source_site");
    const torch::Tensor& source = intervention.source_representation();
    const std::int64_t width = model_->sites().find(r.component, r.layer).width * r.max_number_of_units;
    const torch::Tensor dimension = intervention.pyvene_dimension(width);
    // pyvene builds this class from low_rank_dimension alone.
    const bool sparse = dynamic_cast<const JumpReLUAutoencoder*>(&intervention) != nullptr;
    const Json rank = sparse ? Json(intervention.subspace_width(0)) : optional_json(r.low_rank_dimension);
    config["representations"].push_back({r.layer, r.component, r.unit, r.max_number_of_units, rank, nullptr, nullptr,
                                         partition_json(r.subspace_partition, where), key_json(r.group_key),
                                         key_json(r.intervention_link_key), key_json(r.moe_key), nullptr,
                                         source.defined() ? Json(true) : Json(), optional_json(r.latent_dim)});
    config["intervention_types"].push_back(pyvene_class(info, where));
    config["intervention_dimensions"].push_back(dimension_json(dimension));
    config["intervention_constant_sources"].push_back(source.defined() || !traits.needs_source);
    if (!traits.trainable && !source.defined() && intervention.buffers().empty()) continue;
    NamedTensors tensors = intervention.pyvene_state();
    if (width > 0) tensors.emplace_back("embed_dim", torch::tensor(width));
    if (dimension.defined()) tensors.emplace_back("interchange_dim", dimension);
    if (source.defined()) tensors.emplace_back("source_representation", source.detach());
    archives.emplace_back(keys_[i], std::move(tensors));
  }
  // All of it is written before any of it takes its place.
  const io::StageFolder stage(folder);
  std::vector<std::string> names;
  const auto write = [&](const std::string& name, const std::function<void(const std::string&)>& how) {
    stage.write(name, how);
    names.push_back(name);
  };
  for (const auto& [key, tensors] : archives) {
    write(archive_name(key), [&tensors = tensors](const std::string& path) { io::write_state_dict(path, tensors); });
  }
  write("config.json", [&](const std::string& path) { io::write_file(path, detail::written_json(config) + "\n"); });
  stage.move_all(names);
}

}  // namespace vene
