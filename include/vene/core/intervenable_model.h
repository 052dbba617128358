// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/generate.h"
#include "vene/core/plan.h"

namespace vene {

/// A model with interventions. A module: its parameters are the interventions', it moves with `to(device)`. The wrapped
/// model is shared, never changed.
class VENE_API IntervenableModelImpl : public torch::nn::Module {
 public:
  IntervenableModelImpl(IntervenableConfig config, std::shared_ptr<models::Model> model,
                        const InterventionRegistry& registry = InterventionRegistry::standard());

  /// compile and run in one.
  Result forward(const RunRequest& request, const RunOptions& options = {});
  /// Generates from the prompts in `request.base` with the interventions at work (vene/core/generate.h).
  GenerateResult generate(RunRequest request, const GenerateOptions& options = {});
  /// For many runs of one shape: compile once, `run(plan, base, sources)` often.
  Plan compile(const RunRequest& request) const;

  /// Writes config.json and, where interventions have tensors, interventions.safetensors into a folder; each file
  /// atomically. Throws ConfigError for interventions that cannot be saved (lambdas), IoError.
  void save(const std::string& folder) const;
  /// Reads a folder that `save` or pyvene wrote.
  static std::shared_ptr<IntervenableModelImpl> load(const std::string& folder, std::shared_ptr<models::Model> model,
                                                     const InterventionRegistry& registry = InterventionRegistry::standard());

  const IntervenableConfig& config() const { return config_; }
  const std::shared_ptr<models::Model>& model() const { return model_; }
  const std::vector<std::shared_ptr<Intervention>>& interventions() const { return interventions_; }
  const std::vector<std::string>& keys() const { return keys_; }
  /// The intervention of a representation key; PlanError with the nearest keys.
  Intervention& intervention(std::string_view key) const;

  void to(torch::Device device, torch::ScalarType dtype, bool non_blocking = false) override;
  void to(torch::ScalarType dtype, bool non_blocking = false) override;
  void to(torch::Device device, bool non_blocking = false) override;

 private:
  IntervenableConfig config_;
  std::shared_ptr<models::Model> model_;
  std::vector<std::string> keys_;
  std::vector<std::shared_ptr<Intervention>> interventions_;
};
TORCH_MODULE(IntervenableModel);

}  // namespace vene
