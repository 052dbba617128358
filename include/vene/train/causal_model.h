// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// A causal model: variables, their parents, and how each follows from them. Says what an interchange intervention on
/// it gives, and draws the counterfactual examples that align a network with it. Source: pyvene's CausalModel.
class VENE_API CausalModel {
 public:
  using Value = std::vector<double>;  ///< a number, or the features of something; a bool is {0} or {1}
  using Setting = std::map<std::string, Value>;
  using Random = std::mt19937_64;
  using Accepts = std::function<bool(const Setting&)>;

  struct Variable {
    std::string name{};
    std::vector<Value> values{};         ///< what it can be
    std::vector<std::string> parents{};  ///< none: an input
    /// From the parents' values, in their order. An input's (without arguments) is its default; without one the first
    /// of `values`.
    std::function<Value(const std::vector<Value>&)> function{};
  };

  /// Throws ConfigError for a name given twice, an unknown parent, a circle, or a variable without function or values.
  explicit CausalModel(std::vector<Variable> variables);

  /// Names in order of computation: alphabetical within a step; the outputs are the last step.
  const std::vector<std::string>& variables() const { return order_; }
  const std::vector<std::string>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }
  /// Those that are neither.
  const std::vector<std::string>& hidden() const { return hidden_; }
  std::int64_t timestep(const std::string& name) const;

  /// Every variable's value where some are set, inputs or not. ConfigError for an unknown name.
  Setting run(const Setting& setting = {}) const;
  /// A run of `base` in which each variable of `sources` has the value that it takes in a run of its source.
  Setting interchange(const Setting& base, const std::map<std::string, Setting>& sources) const;

  /// Inputs drawn uniformly, again and again until `accepts` (given the whole run) does.
  Setting sample_input(Random& random, const Accepts& accepts = {}) const;
  /// Inputs that give the first output a value drawn uniformly (or `wanted`), through parents' values drawn uniformly
  /// among those that give it, step by step. PlanError where no values of the parents give one.
  Setting sample_balanced_input(Random& random, const Value* wanted = nullptr) const;
  /// Hidden variables, each with probability one half, at least one.
  std::set<std::string> sample_intervention(Random& random) const;

  struct Counterfactual {
    Setting base{};                            ///< inputs
    std::map<std::string, Setting> sources{};  ///< inputs, by variable that takes its value from there
    Setting labels{};                          ///< outputs of the interchange
    Setting base_labels{};                     ///< outputs of the base alone
  };
  using InputSampler = std::function<Setting(Random&)>;
  using InterventionSampler = std::function<std::set<std::string>(Random&)>;
  /// `size` examples; every `batch_size` of them in a row intervene on the same variables. Samplers: balanced inputs
  /// and `sample_intervention` where none are given.
  std::vector<Counterfactual> counterfactuals(std::int64_t size, std::int64_t batch_size, Random& random,
                                              InputSampler sampler = {}, InterventionSampler interventions = {}) const;

  /// The values of the inputs (outputs) one after the other, float32.
  torch::Tensor input_tensor(const Setting& setting) const { return tensor(setting, inputs_); }
  torch::Tensor output_tensor(const Setting& setting) const { return tensor(setting, outputs_); }

 private:
  const Variable& at(const std::string& name) const;
  static torch::Tensor tensor(const Setting& setting, const std::vector<std::string>& names);
  void pick_parents(const std::string& name, const Value& value, Random& random, Setting& picked) const;
  const std::map<Value, std::vector<std::vector<Value>>>& ways(const std::string& name) const;

  std::map<std::string, Variable> all_;
  std::vector<std::string> order_, inputs_, outputs_, hidden_;
  std::map<std::string, std::int64_t> steps_;
  std::map<std::string, std::map<Value, std::vector<std::vector<Value>>>>
      ways_;  // variable -> value -> values of its parents that give it
};

}  // namespace vene
