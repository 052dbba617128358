// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/io/torch_archive.h"

namespace vene {
namespace {

namespace fs = std::filesystem;

// What is written: everything an intervention registers, and its constant source, by representation key.
io::NamedTensors tensors_of(const Intervention& intervention, const std::string& key) {
  io::NamedTensors tensors;
  for (const auto& item : intervention.named_parameters()) tensors.emplace_back(key + "." + item.key(), item.value().detach());
  for (const auto& item : intervention.named_buffers()) tensors.emplace_back(key + "." + item.key(), item.value().detach());
  const torch::Tensor& constant = intervention.source_representation();
  if (constant.defined()) tensors.emplace_back(key + ".source_representation", constant.detach());
  return tensors;
}

// `tensors` are named without the key.
void restore(Intervention& intervention, const std::string& key, const io::NamedTensors& tensors, const std::string& file, bool constant) {
  const torch::NoGradGuard no_grad;
  auto parameters = intervention.named_parameters();
  auto buffers = intervention.named_buffers();
  for (const auto& [name, tensor] : tensors) {
    if (name == "source_representation") {
      if (constant) intervention.set_source_representation(tensor.clone());
      continue;
    }
    // pyvene's own bookkeeping: the width is the model's, the interchanged columns are in config.json.
    if (name == "embed_dim" || name == "interchange_dim") continue;
    torch::Tensor* target = parameters.find(name);
    if (target == nullptr) target = buffers.find(name);
    if (target == nullptr) throw IoError(file + ": the intervention " + key + " has no tensor '" + name + "'");
    target->copy_(tensor);
  }
}

}  // namespace

void IntervenableModelImpl::save(const std::string& folder) const {
  IntervenableConfig config = config_;
  config.sorted_keys = keys_;
  config.intervention_dimensions.clear();
  config.intervention_constant_sources.clear();
  config.model_type = model_->architecture();
  io::NamedTensors tensors;
  for (std::size_t i = 0; i < interventions_.size(); ++i) {
    const Intervention& intervention = *interventions_[i];
    config.intervention_dimensions.push_back(intervention.interchange_dim);
    config.intervention_constant_sources.push_back(intervention.source_representation().defined() || !intervention.traits().needs_source);
    // The constant's values live beside the config.
    config.representations[i].source_representation = torch::Tensor();
    config.representations[i].hidden_source_representation = intervention.source_representation().defined();
    for (auto& entry : tensors_of(intervention, keys_[i])) tensors.push_back(std::move(entry));
  }
  const std::string json = config.to_json();
  io::make_folder(folder);
  if (!tensors.empty()) io::write_safetensors((fs::path(folder) / "interventions.safetensors").string(), tensors, {{"format", "vene"}});
  io::write_file((fs::path(folder) / "config.json").string(), json + "\n");
}

std::shared_ptr<IntervenableModelImpl> IntervenableModelImpl::load(const std::string& folder, std::shared_ptr<models::Model> model,
                                                                   const InterventionRegistry& registry) {
  IntervenableConfig config = IntervenableConfig::load(folder, registry);
  auto loaded = std::make_shared<IntervenableModelImpl>(config, std::move(model), registry);
  const fs::path own = fs::path(folder) / "interventions.safetensors";
  const bool has_own = fs::exists(own);
  const io::NamedTensors all = has_own ? io::read_tensors(own.string()) : io::NamedTensors{};
  for (std::size_t i = 0; i < loaded->keys_.size(); ++i) {
    const std::string& key = loaded->keys_[i];
    const bool hidden = config.representations[i].hidden_source_representation;
    io::NamedTensors mine;
    std::string file = own.string();
    for (const auto& [name, tensor] : all) {
      if (name.starts_with(key + ".")) mine.emplace_back(name.substr(key.size() + 1), tensor);
    }
    if (!has_own) {
      const fs::path archive = fs::path(folder) / ("intkey_" + key + ".bin");
      file = archive.string();
      if (fs::exists(archive)) mine = io::read_state_dict(file);
    }
    if (hidden && std::none_of(mine.begin(), mine.end(), [](const auto& entry) { return entry.first == "source_representation"; })) {
      throw IoError(file + ": config.json says that " + key + " has a constant source, but its tensor 'source_representation' is not there");
    }
    restore(*loaded->interventions_[i], key, mine, file, hidden);
    loaded->interventions_[i]->to(loaded->model_->device());
  }
  return loaded;
}

}  // namespace vene
