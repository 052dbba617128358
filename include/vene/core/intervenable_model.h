// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
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

  // Writing to and reading from LibTorch's own archives stay what they are.
  using torch::nn::Module::load;
  using torch::nn::Module::save;

  /// Writes config.json and, where interventions have tensors, interventions.safetensors into a folder; each file
  /// atomically. Parts of the model that train with them (`enable_model_gradients`) go into model_parts.safetensors.
  /// Throws ConfigError for interventions that cannot be saved (lambdas), IoError.
  void save(const std::string& folder) const;
  /// Writes the folder as pyvene does, for its `IntervenableModel.load`. Throws IoError for what pyvene has no form
  /// for.
  void save_pyvene(const std::string& folder,
                   const InterventionRegistry& registry = InterventionRegistry::standard()) const;
  using Warn = std::function<void(const std::string&)>;
  /// Reads a folder that `save` or pyvene wrote. A model of another architecture or size than it was saved for is a
  /// PlanError, other weights are a warning (to standard error without `warn`). Saved parts of the model are written
  /// into `model`.
  static std::shared_ptr<IntervenableModelImpl> load(
      const std::string& folder, std::shared_ptr<models::Model> model,
      const InterventionRegistry& registry = InterventionRegistry::standard(), const Warn& warn = {});

  /// Lets the model's parameters whose names begin with one of `parts` (all without any) train along: they get
  /// gradients, and are saved. PlanError for a part that no parameter's name begins with.
  void enable_model_gradients(const std::vector<std::string>& parts = {});
  void disable_model_gradients();
  /// Names of the model's parameters that get gradients.
  std::set<std::string> trained_parts() const;
  /// What is saved beside the interventions: these parameters, those that had gradients and were changed, and those
  /// that were loaded.
  std::set<std::string> changed_parts() const;
  /// Every parameter that is to be learned: the interventions', each once, then the model's that get gradients.
  std::vector<torch::Tensor> trainable_parameters() const;
  /// Sets the temperature of every intervention that has one; returns how many.
  std::size_t set_temperature(double temperature);

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
  std::map<std::string, std::int64_t>
      enabled_;  // parameters that were given gradients, and torch's count of changes to them then
  std::set<std::string> loaded_parts_;
};
TORCH_MODULE(IntervenableModel);

}  // namespace vene
