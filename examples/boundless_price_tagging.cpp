// SPDX-License-Identifier: Apache-2.0
// Boundless DAS on the price tagging game: a price gets a yes where it lies between two bounds. A small network is
// trained on it; where does it keep "the price is not below the lower bound"? A boundless rotation finds the
// directions, and how many they are.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <cstdio>

#include "small_classifier.h"
#include "vene/vene.h"

namespace {

using vene::CausalModel;
constexpr std::int64_t kFeatures = 8;  // of each of the three amounts

// Amounts of 0.00 to 9.99 dollars.
CausalModel price_tagging() {
  std::vector<CausalModel::Value> dollars;
  for (int cents = 0; cents < 1000; ++cents) dollars.push_back({cents / 100.0});
  const std::vector<CausalModel::Value> booleans{{0}, {1}};
  auto at_least = [](const std::vector<CausalModel::Value>& p) {
    return CausalModel::Value{p[0][0] >= p[1][0] ? 1.0 : 0.0};
  };
  auto both = [](const std::vector<CausalModel::Value>& p) { return CausalModel::Value{p[0][0] * p[1][0]}; };
  return CausalModel({{"lower", dollars, {}, {}},
                      {"upper", dollars, {}, {}},
                      {"price", dollars, {}, {}},
                      {"above_lower", booleans, {"price", "lower"}, at_least},
                      {"below_upper", booleans, {"upper", "price"}, at_least},
                      {"yes", booleans, {"above_lower", "below_upper"}, both}});
}

// The bounds are 2.50 to 7.50 dollars apart.
CausalModel::Setting game(const CausalModel& task, CausalModel::Random& random) {
  return task.sample_input(random, [](const CausalModel::Setting& s) {
    const double apart = s.at("upper")[0] - s.at("lower")[0];
    return apart >= 2.5 && apart <= 7.5;
  });
}

// Each amount as a row of soft steps.
torch::Tensor features(const CausalModel::Setting& setting) {
  std::vector<float> values;
  for (const char* name : {"lower", "upper", "price"}) {
    for (std::int64_t f = 0; f < kFeatures; ++f)
      values.push_back(
          static_cast<float>(std::tanh(setting.at(name)[0] - 10.0 * (static_cast<double>(f) + 0.5) / kFeatures)));
  }
  return torch::tensor(values).view({1, 1, 3 * kFeatures});
}

std::pair<torch::Tensor, torch::Tensor> games(const CausalModel& task, std::int64_t size, CausalModel::Random& random) {
  std::vector<torch::Tensor> inputs;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto setting = task.run(game(task, random));
    inputs.push_back(features(setting));
    labels.push_back(static_cast<std::int64_t>(setting.at("yes")[0]));
  }
  return {torch::cat(inputs), torch::tensor(labels)};
}

// What the network should say if the base's price were above the lower bound exactly where the source's is.
std::vector<vene::train::Example> counterfactual(const CausalModel& task, std::int64_t size,
                                                 CausalModel::Random& random) {
  std::vector<vene::train::Example> examples;
  const auto drawn = task.counterfactuals(
      size, 1, random, [&](CausalModel::Random& r) { return game(task, r); },
      [](CausalModel::Random&) { return std::set<std::string>{"above_lower"}; });
  for (const auto& one : drawn) {
    vene::train::Example example;
    example.base = small_classifier::batch_of(features(one.base));
    example.sources = {small_classifier::batch_of(features(one.sources.at("above_lower")))};
    example.locations = vene::at(0);
    example.labels = {{static_cast<std::int64_t>(one.labels.at("yes")[0]), 0}};
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace

int main() {
  torch::manual_seed(1);
  torch::set_num_threads(1);  // a second would only wait for the first: the network is small
  CausalModel::Random random(1);
  const CausalModel task = price_tagging();
  auto network = std::make_shared<vene::models::MLPClassifier>(
      vene::models::MLPOptions{.h_dim = 3 * kFeatures, .n_layer = 3, .activation_function = "relu"});
  const auto [inputs, labels] = games(task, 40000, random);
  small_classifier::train(*network, inputs, labels, /*weight_decay=*/0.1);
  const auto [test_inputs, test_labels] = games(task, 5000, random);
  std::printf("network: test accuracy %.3f\n", small_classifier::accuracy(*network, test_inputs, test_labels));
  vene::IntervenableModel aligned(
      vene::IntervenableConfig::parse(
          R"([{"layer": 0, "component": "block_output", "intervention_type": "boundless_rotated_space", "seed": 1}])"),
      network);
  vene::train::Trainer trainer(aligned, {.learning_rate = 5e-3,
                                         .epochs = 20,
                                         .batch_size = 256,
                                         .schedule = vene::train::Schedule::kLinear,
                                         .temperature = std::pair(10.0, 0.1)});
  const auto test = counterfactual(task, 2000, random);
  std::printf("before alignment: test IIA %.3f\n", trainer.evaluate(test).accuracy);
  trainer.fit(counterfactual(task, 10000, random));
  std::printf("after alignment: test IIA %.3f\n", trainer.evaluate(test).accuracy);
  const auto& boundless = dynamic_cast<vene::BoundlessRotatedSpace&>(*aligned->interventions()[0]);
  std::printf("directions: %.1f of %lld\n", boundless.mask().sum().item<double>(),
              static_cast<long long>(3 * kFeatures));
}
