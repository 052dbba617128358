// SPDX-License-Identifier: Apache-2.0
#include "vene/core/intervenable_model.h"

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {

IntervenableModelImpl::IntervenableModelImpl(IntervenableConfig config, std::shared_ptr<models::Model> model, const InterventionRegistry& registry)
    : config_(std::move(config)),
      model_(std::move(model)),
      keys_(representation_keys(config_)),
      interventions_(build_interventions(config_, *model_, registry)) {
  for (std::size_t i = 0; i < interventions_.size(); ++i) {
    // A linked intervention is one module, whichever representations share it.
    const bool shared = std::find(interventions_.begin(), interventions_.begin() + static_cast<std::ptrdiff_t>(i), interventions_[i]) !=
                        interventions_.begin() + static_cast<std::ptrdiff_t>(i);
    if (!shared) register_module(keys_[i], interventions_[i]);
    interventions_[i]->to(model_->device());
  }
}

Result IntervenableModelImpl::forward(const RunRequest& request, const RunOptions& options) {
  return run(compile(request), request.base, request.sources, options);
}

Plan IntervenableModelImpl::compile(const RunRequest& request) const { return vene::compile(config_, model_, interventions_, request); }

Intervention& IntervenableModelImpl::intervention(std::string_view key) const {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) return *interventions_[i];
  }
  throw PlanError("no intervention '" + std::string(key) + "'" + name_hint(key, keys_));
}

void IntervenableModelImpl::to(torch::Device device, torch::ScalarType dtype, bool non_blocking) {
  Module::to(device, dtype, non_blocking);
  model_->to(device, non_blocking);
}
void IntervenableModelImpl::to(torch::ScalarType dtype, bool non_blocking) { Module::to(dtype, non_blocking); }
void IntervenableModelImpl::to(torch::Device device, bool non_blocking) {
  Module::to(device, non_blocking);
  model_->to(device, non_blocking);
}

}  // namespace vene
