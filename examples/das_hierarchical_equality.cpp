// SPDX-License-Identifier: Apache-2.0
// Does a network that learned "(w == x) == (y == z)" hold the two inner comparisons somewhere? Distributed alignment
// search looks for a rotation of its first layer under which one half is w == x and the other y == z: exchanging a half
// between two inputs must then have the effect that exchanging the variable has. Trains a 3-layer MLP, then the
// rotation, and prints accuracies on inputs that neither has seen.
#include <torch/types.h>
#include <torch/utils.h>

#include <cstdio>

#include "small_classifier.h"
#include "vene/train/causal_model.h"
#include "vene/train/trainer.h"

using vene::CausalModel;

namespace {

constexpr std::int64_t kFeatures = 4, kEntities = 20;

// Entities are random vectors; the variables between them and the output are whether two are the same.
CausalModel hierarchical_equality(CausalModel::Random& random) {
  std::vector<CausalModel::Value> entities;
  for (std::int64_t e = 0; e < kEntities; ++e) {
    CausalModel::Value entity;
    for (std::int64_t f = 0; f < kFeatures; ++f) entity.push_back(static_cast<double>(random() % 2001) / 1000 - 1);
    entities.push_back(entity);
  }
  const std::vector<CausalModel::Value> booleans{{0}, {1}};
  auto equal = [](const std::vector<CausalModel::Value>& parents) {
    return CausalModel::Value{parents[0] == parents[1] ? 1.0 : 0.0};
  };
  return CausalModel({{"w", entities, {}, {}},
                      {"x", entities, {}, {}},
                      {"y", entities, {}, {}},
                      {"z", entities, {}, {}},
                      {"wx", booleans, {"w", "x"}, equal},
                      {"yz", booleans, {"y", "z"}, equal},
                      {"output", booleans, {"wx", "yz"}, equal}});
}

torch::Tensor rows_of(const torch::Tensor& inputs) {
  return inputs.view({-1, 1, 4 * kFeatures});
}

// Inputs [size, 1, 16] and classes [size].
std::pair<torch::Tensor, torch::Tensor> factual(const CausalModel& task, std::int64_t size,
                                                CausalModel::Random& random) {
  std::vector<torch::Tensor> inputs, labels;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto setting = task.run(task.sample_balanced_input(random));
    inputs.push_back(task.input_tensor(setting));
    labels.push_back(task.output_tensor(setting));
  }
  return {rows_of(torch::stack(inputs)), torch::cat(labels).to(torch::kInt64)};
}

std::vector<vene::train::Example> counterfactual(const CausalModel& task, std::int64_t size,
                                                 CausalModel::Random& random) {
  std::vector<vene::train::Example> examples;
  for (const auto& drawn : task.counterfactuals(size, 1, random)) {
    vene::train::Example example;
    example.base = small_classifier::batch_of(rows_of(task.input_tensor(drawn.base)));
    for (const char* variable : {"wx", "yz"}) {
      const auto found = drawn.sources.find(variable);
      example.sources.push_back(found == drawn.sources.end() ? std::nullopt
                                                             : std::optional(small_classifier::batch_of(
                                                                   rows_of(task.input_tensor(found->second)))));
    }
    example.locations = vene::at(0);
    example.subspaces = {vene::SubspaceIds{{{0}}}, vene::SubspaceIds{{{1}}}};
    example.labels = {{static_cast<std::int64_t>(drawn.labels.at("output")[0]), 0}};
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace

int main() {
  torch::manual_seed(1);
  torch::set_num_threads(1);  // a second would only wait for the first: the network is small
  CausalModel::Random random(1);
  const CausalModel task = hierarchical_equality(random);
  auto network = std::make_shared<vene::models::MLPClassifier>(
      vene::models::MLPOptions{.h_dim = 4 * kFeatures, .n_layer = 3, .activation_function = "relu"});
  const auto [inputs, labels] = factual(task, 40000, random);
  // Weight decay leaves the network one clean way of telling entities apart; without it half of the trained networks do
  // not split into two halves.
  small_classifier::train(*network, inputs, labels, /*weight_decay=*/1.0);
  const auto [test_inputs, test_labels] = factual(task, 5000, random);
  std::printf("network: test accuracy %.3f\n", small_classifier::accuracy(*network, test_inputs, test_labels));

  // One rotation, linked: its first half takes wx from the first source, its second yz from the second.
  vene::IntervenableModel aligned(vene::IntervenableConfig::parse(R"([
      {"layer": 0, "component": "block_output", "intervention_type": "rotated_space", "subspace_partition": [[0, 8], [8, 16]], "intervention_link_key": "rotation"},
      {"layer": 0, "component": "block_output", "intervention_type": "rotated_space", "subspace_partition": [[0, 8], [8, 16]], "intervention_link_key": "rotation"}])"),
                                  network);
  vene::train::Trainer trainer(
      aligned, {.learning_rate = 5e-3, .epochs = 30, .batch_size = 256, .schedule = vene::train::Schedule::kLinear});
  const auto test = counterfactual(task, 2000, random);
  std::printf("before alignment: test IIA %.3f\n", trainer.evaluate(test).accuracy);
  trainer.fit(counterfactual(task, 12000, random));
  std::printf("after alignment: test IIA %.3f\n", trainer.evaluate(test).accuracy);
}
