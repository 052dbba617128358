// SPDX-License-Identifier: Apache-2.0
// vene's own folders: config.json, interventions.safetensors and, after joint training, model_parts.safetensors.
#include <cstdio>

#include "src/config/parse.h"
#include "src/core/fingerprint.h"
#include "src/core/pyvene_folder.h"
#include "src/core/saved_files.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/intervenable_model.h"
#include "vene/interventions/rotation.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

// A linked intervention is saved under the first of its keys.
bool first_of_its_link(const std::vector<std::shared_ptr<Intervention>>& interventions, std::size_t i) {
  return std::find(interventions.begin(), interventions.begin() + static_cast<std::ptrdiff_t>(i), interventions[i]) ==
         interventions.begin() + static_cast<std::ptrdiff_t>(i);
}

NamedTensors without_prefix(const NamedTensors& all, const std::string& prefix) {
  NamedTensors mine;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) mine.emplace_back(name.substr(prefix.size()), tensor);
  }
  return mine;
}

void check_model(const IntervenableConfig& config, const models::Model& model, const std::set<std::string>& parts,
                 const std::string& file, const IntervenableModelImpl::Warn& warn) {
  if (!config.model_fingerprint) return;
  const ModelFingerprint& saved = *config.model_fingerprint;
  const ModelFingerprint here = detail::fingerprint(model, parts);
  auto described = [](const ModelFingerprint& print) {
    return print.architecture + " of " + std::to_string(print.layers) + " layers, width " +
           std::to_string(print.hidden_size) + " and vocabulary " + std::to_string(print.vocabulary);
  };
  if (described(saved) != described(here))
    throw PlanError(file + ": saved for a model " + described(saved) + ", this one is a " + described(here));
  if (saved.weights != here.weights)
    warn(file + ": this model has other weights than the one that the interventions were saved for");
}

// The whole set is checked before anything is written into the model.
void restore_parts(models::Model& model, const NamedTensors& parts, const std::string& file) {
  auto parameters = model.named_parameters();
  for (const auto& [name, tensor] : parts) {
    const torch::Tensor* target = parameters.find(name);
    if (target == nullptr)
      throw IoError(file + ": the model has no parameter '" + name + "'" + name_hint(name, parameters.keys()));
    if (target->sizes() != tensor.sizes()) {
      throw IoError(file + ": '" + name + "' has shape " + shape_text(tensor.sizes()) + ", the model's has " +
                    shape_text(target->sizes()));
    }
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parts) parameters.find(name)->copy_(tensor);
}

io::NamedTensors tensors_of(const std::optional<io::Safetensors>& file) {
  io::NamedTensors tensors;
  if (!file) return tensors;
  for (const io::TensorInfo& info : file->tensors()) tensors.emplace_back(info.name, file->tensor(info.name));
  return tensors;
}

}  // namespace

namespace detail {

void restore_state(Intervention& intervention, NamedTensors state, bool constant, const std::string& where) {
  const auto source = std::find_if(state.begin(), state.end(),
                                   [](const auto& entry) { return entry.first == "source_representation"; });
  if (source != state.end()) {
    if (constant) intervention.set_source_representation(source->second.clone());
    state.erase(source);
  }
  if (constant && !intervention.source_representation().defined()) {
    throw IoError(
        where +
        ": config.json says that there is a constant source, but its tensor 'source_representation' is not there");
  }
  intervention.restore(state, where);
}

}  // namespace detail

void IntervenableModelImpl::save(const std::string& folder) const {
  IntervenableConfig config = config_;
  config.sorted_keys = keys_;
  config.intervention_dimensions.clear();
  config.intervention_constant_sources.clear();
  config.model_type = model_->architecture();
  const std::set<std::string> changed = changed_parts();
  config.model_fingerprint = detail::fingerprint(*model_, changed);
  io::NamedTensors tensors;
  std::vector<std::string> parameters_saved;
  for (std::size_t i = 0; i < interventions_.size(); ++i) {
    const Intervention& intervention = *interventions_[i];
    config.intervention_dimensions.push_back(intervention.interchange_dim);
    config.intervention_constant_sources.push_back(intervention.source_representation().defined() ||
                                                   !intervention.traits().needs_source);
    // The constant's values live beside the config.
    config.representations[i].source_representation = torch::Tensor();
    config.representations[i].hidden_source_representation = intervention.source_representation().defined();
    // So do weights that were read from a file.
    if (config.representations[i].options.erase("weights") > 0)
      config.representations[i].low_rank_dimension = intervention.subspace_width(0);
    if (!first_of_its_link(interventions_, i)) continue;
    for (auto& [name, tensor] : intervention.state()) tensors.emplace_back(keys_[i] + "." + name, tensor);
    for (const auto& item : intervention.named_parameters()) parameters_saved.push_back(keys_[i] + "." + item.key());
    if (intervention.source_representation().defined())
      tensors.emplace_back(keys_[i] + ".source_representation", intervention.source_representation().detach());
  }
  io::NamedTensors parts;
  const auto parameters = model_->named_parameters();
  for (const std::string& name : changed) parts.emplace_back(name, parameters[name].detach());
  detail::write_saved(folder, detail::config_json(config), tensors, parameters_saved, parts);
}

std::shared_ptr<IntervenableModelImpl> IntervenableModelImpl::load(const std::string& folder,
                                                                   std::shared_ptr<models::Model> model,
                                                                   const InterventionRegistry& registry,
                                                                   const Warn& warn) {
  const detail::SavedFiles files = detail::find_saved(folder);
  const IntervenableConfig config = detail::parse_config(files, registry);
  const Warn warning =
      warn ? warn : [](const std::string& text) { std::fprintf(stderr, "vene: warning: %s\n", text.c_str()); };
  const io::NamedTensors parts = tensors_of(files.parts);
  std::set<std::string> part_names;
  for (const auto& [name, tensor] : parts) part_names.insert(name);
  check_model(config, *model, part_names, files.config_path, warning);
  const bool pyvene = !config.model_fingerprint && !files.tensors;
  const IntervenableConfig fitting =
      pyvene && !config.sorted_keys.empty() ? detail::within_widths(config, *model) : config;
  std::shared_ptr<IntervenableModelImpl> loaded;
  {
    const OpenRotations to_be_filled;
    loaded = std::make_shared<IntervenableModelImpl>(fitting, std::move(model), registry);
  }
  if (pyvene) {
    detail::read_pyvene_tensors(*loaded, folder);
  } else {
    const io::NamedTensors all = tensors_of(files.tensors);
    const std::string tensors_file = files.tensors ? files.tensors_path : folder;
    std::set<std::string> known;
    for (std::size_t i = 0; i < loaded->keys_.size(); ++i) {
      if (!first_of_its_link(loaded->interventions_, i)) continue;
      const std::string prefix = loaded->keys_[i] + ".";
      const NamedTensors mine = without_prefix(all, prefix);
      for (const auto& [name, tensor] : mine) known.insert(prefix + name);
      detail::restore_state(*loaded->interventions_[i], mine,
                            loaded->config_.representations[i].hidden_source_representation,
                            tensors_file + ": " + loaded->keys_[i]);
    }
    for (const auto& [name, tensor] : all) {
      if (!known.contains(name))
        throw IoError(tensors_file + ": the tensor '" + name + "' belongs to no representation of config.json" +
                      name_hint(name, loaded->keys_));
    }
  }
  for (const auto& intervention : loaded->interventions_) intervention->to(loaded->model_->device());
  if (files.parts) restore_parts(*loaded->model_, parts, files.parts_path);
  loaded->loaded_parts_ = part_names;
  return loaded;
}

}  // namespace vene
