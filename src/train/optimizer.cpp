// SPDX-License-Identifier: Apache-2.0
#include "src/train/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include "vene/base/error.h"

namespace vene::train {
namespace {

using torch::Tensor;

Tensor find(const NamedTensors& state, const std::string& name) {
  for (const auto& [key, tensor] : state) {
    if (key == name) return tensor;
  }
  return {};
}

// Adam and AdamW keep the same things under different types.
template <class State>
void write_adam(const torch::optim::OptimizerParamState& held, const std::string& prefix, NamedTensors& state) {
  const auto& adam = static_cast<const State&>(held);
  state.emplace_back(prefix + "step", torch::tensor(adam.step()));
  state.emplace_back(prefix + "exp_avg", adam.exp_avg());
  state.emplace_back(prefix + "exp_avg_sq", adam.exp_avg_sq());
}

// A copy where the parameter is.
Tensor beside(const Tensor& parameter, const Tensor& value) {
  return value.to(parameter.device(), value.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
}

template <class State>
std::unique_ptr<torch::optim::OptimizerParamState> read_adam(const NamedTensors& state, const std::string& prefix,
                                                             const Tensor& parameter) {
  const Tensor step = find(state, prefix + "step");
  if (!step.defined()) return nullptr;  // a parameter that never had a gradient
  auto adam = std::make_unique<State>();
  adam->step(step.item<std::int64_t>());
  adam->exp_avg(beside(parameter, find(state, prefix + "exp_avg")));
  adam->exp_avg_sq(beside(parameter, find(state, prefix + "exp_avg_sq")));
  return adam;
}

std::unique_ptr<torch::optim::OptimizerParamState> read_sgd(const NamedTensors& state, const std::string& prefix,
                                                            const Tensor& parameter) {
  const Tensor momentum = find(state, prefix + "momentum");
  if (!momentum.defined()) return nullptr;
  auto sgd = std::make_unique<torch::optim::SGDParamState>();
  sgd->momentum_buffer(beside(parameter, momentum));
  return sgd;
}

}  // namespace

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const TrainOptions& options,
                                                        const std::vector<Tensor>& parameters) {
  using namespace torch::optim;
  switch (options.optimizer) {
    case OptimizerKind::kAdam:
      return std::make_unique<Adam>(parameters, AdamOptions(options.learning_rate).weight_decay(options.weight_decay));
    case OptimizerKind::kAdamW:
      return std::make_unique<AdamW>(parameters,
                                     AdamWOptions(options.learning_rate).weight_decay(options.weight_decay));
    case OptimizerKind::kSGD:
      return std::make_unique<SGD>(
          parameters, SGDOptions(options.learning_rate).momentum(options.momentum).weight_decay(options.weight_decay));
  }
  return nullptr;
}

void set_learning_rate(torch::optim::Optimizer& optimizer, double rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
}

NamedTensors optimizer_state(const torch::optim::Optimizer& optimizer, OptimizerKind kind,
                             const std::vector<Tensor>& parameters) {
  NamedTensors state;
  const auto& all = optimizer.state();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto found = all.find(parameters[i].unsafeGetTensorImpl());
    if (found == all.end()) continue;
    const std::string prefix = std::to_string(i) + ".";
    switch (kind) {
      case OptimizerKind::kAdam:
        write_adam<torch::optim::AdamParamState>(*found->second, prefix, state);
        break;
      case OptimizerKind::kAdamW:
        write_adam<torch::optim::AdamWParamState>(*found->second, prefix, state);
        break;
      case OptimizerKind::kSGD: {
        const Tensor& momentum = static_cast<const torch::optim::SGDParamState&>(*found->second).momentum_buffer();
        if (momentum.defined()) state.emplace_back(prefix + "momentum", momentum);
      }
    }
  }
  return state;
}

void restore_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind, const std::vector<Tensor>& parameters,
                       const NamedTensors& state) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string prefix = std::to_string(i) + ".";
    std::unique_ptr<torch::optim::OptimizerParamState> held;
    switch (kind) {
      case OptimizerKind::kAdam:
        held = read_adam<torch::optim::AdamParamState>(state, prefix, parameters[i]);
        break;
      case OptimizerKind::kAdamW:
        held = read_adam<torch::optim::AdamWParamState>(state, prefix, parameters[i]);
        break;
      case OptimizerKind::kSGD:
        held = read_sgd(state, prefix, parameters[i]);
        break;
    }
    if (held) optimizer.state()[parameters[i].unsafeGetTensorImpl()] = std::move(held);
  }
}

}  // namespace vene::train
