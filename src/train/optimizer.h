// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/optim/optimizer.h>

#include <memory>

#include "vene/train/trainer.h"

namespace vene::train {

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const TrainOptions& options,
                                                        const std::vector<torch::Tensor>& parameters);
void set_learning_rate(torch::optim::Optimizer& optimizer, double rate);

/// What an optimiser keeps between steps, by number of the parameter: "0.exp_avg", "0.step" ...
NamedTensors optimizer_state(const torch::optim::Optimizer& optimizer, OptimizerKind kind,
                             const std::vector<torch::Tensor>& parameters);
void restore_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind,
                       const std::vector<torch::Tensor>& parameters, const NamedTensors& state);

}  // namespace vene::train
