// SPDX-License-Identifier: Apache-2.0
#include "vene/core/intervenable_model.h"

#include <unordered_set>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {

IntervenableModelImpl::IntervenableModelImpl(IntervenableConfig config, std::shared_ptr<models::Model> model,
                                             const InterventionRegistry& registry)
    : config_(expanded(config, *model)),
      model_(std::move(model)),
      keys_(representation_keys(config_)),
      interventions_(build_interventions(config_, *model_, registry)) {
  std::unordered_set<const Intervention*> seen;
  for (std::size_t i = 0; i < interventions_.size(); ++i) {
    // A linked intervention is one module, whichever representations share it.
    if (seen.insert(interventions_[i].get()).second) register_module(keys_[i], interventions_[i]);
    interventions_[i]->to(model_->device());
  }
}

Result IntervenableModelImpl::forward(const RunRequest& request, const RunOptions& options) {
  return run(compile(request), request.base, request.sources, options);
}

Plan IntervenableModelImpl::compile(const RunRequest& request) const {
  return vene::compile(config_, model_, interventions_, request);
}

Intervention& IntervenableModelImpl::intervention(std::string_view key) const {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) return *interventions_[i];
  }
  throw PlanError("no intervention '" + std::string(key) + "'" + name_hint(key, keys_));
}

void IntervenableModelImpl::enable_model_gradients(const std::vector<std::string>& parts) {
  const auto parameters = model_->named_parameters();
  auto begins = [](const std::string& name, const std::string& part) { return name.starts_with(part); };
  for (const std::string& part : parts) {
    const auto names = parameters.keys();
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return begins(name, part); })) {
      throw PlanError("the model has no parameter whose name begins with '" + part + "'" + name_hint(part, names));
    }
  }
  for (const auto& item : parameters) {
    const bool wanted = parts.empty() || std::any_of(parts.begin(), parts.end(),
                                                     [&](const std::string& part) { return begins(item.key(), part); });
    if (!wanted) continue;
    torch::Tensor(item.value()).set_requires_grad(true);
    enabled_.try_emplace(item.key(), item.value()._version());
  }
}

void IntervenableModelImpl::disable_model_gradients() {
  for (torch::Tensor parameter : model_->parameters()) parameter.set_requires_grad(false);
}

std::set<std::string> IntervenableModelImpl::trained_parts() const {
  std::set<std::string> names;
  for (const auto& item : model_->named_parameters()) {
    if (item.value().requires_grad()) names.insert(item.key());
  }
  return names;
}

std::set<std::string> IntervenableModelImpl::changed_parts() const {
  std::set<std::string> names = trained_parts();
  names.insert(loaded_parts_.begin(), loaded_parts_.end());
  const auto parameters = model_->named_parameters();
  for (const auto& [name, changes] : enabled_) {
    if (parameters[name]._version() != changes) names.insert(name);
  }
  return names;
}

std::vector<torch::Tensor> IntervenableModelImpl::trainable_parameters() const {
  std::vector<torch::Tensor> trainable;
  for (const auto& list : {parameters(), model_->parameters()}) {
    for (const torch::Tensor& parameter : list) {
      if (parameter.requires_grad()) trainable.push_back(parameter);
    }
  }
  return trainable;
}

std::size_t IntervenableModelImpl::set_temperature(double temperature) {
  if (!(temperature > 0)) throw PlanError("temperature " + std::to_string(temperature) + ": expected more than 0");
  const torch::NoGradGuard no_grad;
  std::set<const Intervention*> done;
  std::size_t count = 0;
  for (const auto& intervention : interventions_) {
    if (!done.insert(intervention.get()).second) continue;
    auto buffers = intervention->named_buffers(/*recurse=*/false);
    if (torch::Tensor* found = buffers.find("temperature")) {
      found->fill_(temperature);
      ++count;
    }
  }
  return count;
}

void IntervenableModelImpl::to(torch::Device device, torch::ScalarType dtype, bool non_blocking) {
  Module::to(device, dtype, non_blocking);
  model_->to(device, non_blocking);
}
void IntervenableModelImpl::to(torch::ScalarType dtype, bool non_blocking) {
  Module::to(dtype, non_blocking);
}
void IntervenableModelImpl::to(torch::Device device, bool non_blocking) {
  Module::to(device, non_blocking);
  model_->to(device, non_blocking);
}

}  // namespace vene
