// SPDX-License-Identifier: Apache-2.0
#include "vene/train/causal_model.h"

#include <torch/types.h>

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

// std::uniform_int_distribution differs from one standard library to the next.
std::size_t draw(CausalModel::Random& random, std::size_t count) {
  return random() % count;
}

// Every combination of the parents' values is tried; beyond so many a model needs a sampler of its own.
constexpr std::size_t kMostWays = 2'000'000;

}  // namespace

CausalModel::CausalModel(std::vector<Variable> variables) {
  std::vector<std::string> names;
  for (Variable& variable : variables) {
    names.push_back(variable.name);
    if (variable.values.empty()) throw ConfigError("variable '" + variable.name + "' has no values");
    if (!variable.parents.empty() && !variable.function)
      throw ConfigError("variable '" + variable.name + "' has parents, but no function of them");
    const std::string name = variable.name;
    if (!all_.emplace(name, std::move(variable)).second) throw ConfigError("variable '" + name + "' is given twice");
  }
  std::set<std::string> has_child;
  for (const auto& [name, variable] : all_) {
    for (const std::string& parent : variable.parents) {
      if (!all_.contains(parent))
        throw ConfigError("variable '" + name + "' has the unknown parent '" + parent + "'" + name_hint(parent, names));
      has_child.insert(parent);
    }
  }
  // Steps: the longest way from an input. A circle never settles.
  for (const auto& [name, variable] : all_) steps_[name] = 0;
  for (std::size_t round = 0;; ++round) {
    bool changed = false;
    for (const auto& [name, variable] : all_) {
      for (const std::string& parent : variable.parents) {
        if (steps_[name] > steps_[parent]) continue;
        steps_[name] = steps_[parent] + 1;
        changed = true;
      }
    }
    if (!changed) break;
    if (round > all_.size()) throw ConfigError("the parents of the variables go round in a circle");
  }
  std::int64_t last = 0;
  for (const auto& [name, step] : steps_) last = std::max(last, step);
  for (const auto& [name, variable] : all_) {
    if (variable.parents.empty()) inputs_.push_back(name);
    if (!has_child.contains(name)) {
      outputs_.push_back(name);
      steps_[name] = last;
    }
    if (!variable.parents.empty() && has_child.contains(name)) hidden_.push_back(name);
    order_.push_back(name);
  }
  std::stable_sort(order_.begin(), order_.end(),
                   [&](const std::string& a, const std::string& b) { return steps_[a] < steps_[b]; });
  for (const auto& [name, variable] : all_) {
    if (variable.parents.empty()) continue;
    std::size_t count = 1;
    for (const std::string& parent : variable.parents)
      count = count > kMostWays ? count : count * all_.at(parent).values.size();
    if (count > kMostWays) continue;  // `ways` says so if it is asked
    for (std::size_t way = 0; way < count; ++way) {
      std::vector<Value> picked;
      std::size_t rest = way;
      for (const std::string& parent : variable.parents) {
        const auto& values = all_.at(parent).values;
        picked.push_back(values[rest % values.size()]);
        rest /= values.size();
      }
      ways_[name][variable.function(picked)].push_back(std::move(picked));
    }
  }
}

const CausalModel::Variable& CausalModel::at(const std::string& name) const {
  const auto found = all_.find(name);
  if (found == all_.end()) throw ConfigError("no variable '" + name + "'" + name_hint(name, order_));
  return found->second;
}

std::int64_t CausalModel::timestep(const std::string& name) const {
  return steps_.at(at(name).name);
}

CausalModel::Setting CausalModel::run(const Setting& setting) const {
  for (const auto& [name, value] : setting) (void)at(name);
  Setting result;
  for (const std::string& name : order_) {
    const Variable& variable = all_.at(name);
    if (const auto set = setting.find(name); set != setting.end()) {
      result[name] = set->second;
      continue;
    }
    if (variable.parents.empty() && !variable.function) {
      result[name] = variable.values.front();
      continue;
    }
    std::vector<Value> parents;
    for (const std::string& parent : variable.parents) parents.push_back(result.at(parent));
    result[name] = variable.function(parents);
  }
  return result;
}

CausalModel::Setting CausalModel::interchange(const Setting& base,
                                              const std::map<std::string, Setting>& sources) const {
  Setting changed = base;
  for (const auto& [name, source] : sources) changed[name] = run(source).at(at(name).name);
  return run(changed);
}

CausalModel::Setting CausalModel::sample_input(Random& random, const Accepts& accepts) const {
  for (;;) {
    Setting setting;
    for (const std::string& name : inputs_) {
      const auto& values = all_.at(name).values;
      setting[name] = values[draw(random, values.size())];
    }
    if (!accepts || accepts(run(setting))) return setting;
  }
}

const std::map<CausalModel::Value, std::vector<std::vector<CausalModel::Value>>>& CausalModel::ways(
    const std::string& name) const {
  const auto found = ways_.find(name);
  if (found == ways_.end())
    throw PlanError("variable '" + name +
                    "' has too many combinations of parents' values to draw from; give a sampler");
  return found->second;
}

void CausalModel::pick_parents(const std::string& name, const Value& value, Random& random, Setting& picked) const {
  const Variable& variable = all_.at(name);
  if (variable.parents.empty()) return;
  const auto found = ways(name).find(value);
  if (found == ways(name).end())
    throw PlanError("no values of its parents give variable '" + name + "' the value that is asked for");
  const std::vector<Value>& way = found->second[draw(random, found->second.size())];
  for (std::size_t i = 0; i < way.size(); ++i) picked[variable.parents[i]] = way[i];
  for (std::size_t i = 0; i < way.size(); ++i) pick_parents(variable.parents[i], way[i], random, picked);
}

CausalModel::Setting CausalModel::sample_balanced_input(Random& random, const Value* wanted) const {
  const std::string& output = outputs_.front();
  const auto& values = all_.at(output).values;
  const Value value = wanted != nullptr ? *wanted : values[draw(random, values.size())];
  Setting picked;
  pick_parents(output, value, random, picked);
  Setting inputs;
  for (const std::string& name : inputs_) {
    const auto& own = all_.at(name).values;
    inputs[name] = picked.contains(name) ? picked[name] : own[draw(random, own.size())];
  }
  return inputs;
}

std::set<std::string> CausalModel::sample_intervention(Random& random) const {
  if (hidden_.empty()) throw PlanError("the causal model has no variable between inputs and outputs to intervene on");
  std::set<std::string> chosen;
  while (chosen.empty()) {
    for (const std::string& name : hidden_) {
      if (draw(random, 2) == 1) chosen.insert(name);
    }
  }
  return chosen;
}

std::vector<CausalModel::Counterfactual> CausalModel::counterfactuals(std::int64_t size, std::int64_t batch_size,
                                                                      Random& random, InputSampler sampler,
                                                                      InterventionSampler interventions) const {
  if (size < 0 || batch_size < 1)
    throw PlanError("counterfactuals: size " + std::to_string(size) + " and batch_size " + std::to_string(batch_size) +
                    ", expected at least 0 and 1");
  if (!sampler) sampler = [this](Random& r) { return sample_balanced_input(r); };
  if (!interventions) interventions = [this](Random& r) { return sample_intervention(r); };
  auto outputs = [&](const Setting& all) {
    Setting some;
    for (const std::string& name : outputs_) some[name] = all.at(name);
    return some;
  };
  std::vector<Counterfactual> examples;
  std::set<std::string> chosen;
  for (std::int64_t i = 0; i < size; ++i) {
    if (i % batch_size == 0) chosen = interventions(random);
    Counterfactual example;
    example.base = sampler(random);
    for (const std::string& name : chosen) example.sources[at(name).name] = sampler(random);
    example.labels = outputs(interchange(example.base, example.sources));
    example.base_labels = outputs(run(example.base));
    examples.push_back(std::move(example));
  }
  return examples;
}

torch::Tensor CausalModel::tensor(const Setting& setting, const std::vector<std::string>& names) {
  std::vector<float> values;
  for (const std::string& name : names) {
    for (const double value : setting.at(name)) values.push_back(static_cast<float>(value));
  }
  return torch::tensor(values);
}

}  // namespace vene
