// SPDX-License-Identifier: Apache-2.0
#include "small_classifier.h"

#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include "vene/train/trainer.h"

namespace small_classifier {

vene::models::Batch batch_of(const torch::Tensor& inputs) {
  vene::models::Batch batch;
  batch.inputs_embeds = inputs;
  return batch;
}

void train(vene::models::MLPClassifier& network, const torch::Tensor& inputs, const torch::Tensor& labels,
           double weight_decay) {
  constexpr std::int64_t kBatch = 1024, kSteps = 4000;
  torch::optim::AdamW optimizer(network.parameters(), torch::optim::AdamWOptions(5e-3).weight_decay(weight_decay));
  for (std::int64_t step = 0; step < kSteps; ++step) {
    for (auto& group : optimizer.param_groups())
      group.options().set_lr(5e-3 * vene::train::schedule_factor(vene::train::Schedule::kCosine, step, kSteps, 0));
    const torch::Tensor rows = torch::randint(inputs.size(0), {kBatch});
    optimizer.zero_grad();
    torch::cross_entropy_loss(network.forward(batch_of(inputs.index_select(0, rows))).logits,
                              labels.index_select(0, rows))
        .backward();
    optimizer.step();
  }
  for (torch::Tensor& parameter : network.parameters()) parameter.set_requires_grad(false);
}

double accuracy(vene::models::MLPClassifier& network, const torch::Tensor& inputs, const torch::Tensor& labels) {
  const torch::NoGradGuard no_grad;
  return (network.forward(batch_of(inputs)).logits.argmax(1) == labels).to(torch::kFloat64).mean().item<double>();
}

}  // namespace small_classifier
