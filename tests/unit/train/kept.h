// SPDX-License-Identifier: Apache-2.0
// What a process that is killed saves over and over, and how to tell that what is left of it is whole.
#pragma once
#include <gtest/gtest.h>

#include "tests/unit/core/toy_model.h"
#include "vene/train/trainer.h"

namespace vene_test {

/// Interventions in which everything tells the number k: the layer, the interchanged columns (config.json alone has
/// those), the mask, and for even k a part of the model that trained along.
inline vene::IntervenableModel numbered_interventions(std::int64_t k) {
  const torch::NoGradGuard no_grad;
  const auto model = ToyModel::make();
  vene::IntervenableModel intervenable(
      vene::IntervenableConfig::parse(R"([{"layer": )" + std::to_string(k % 3) +
                                      R"(, "intervention_type": "sigmoid_mask", "max_number_of_units": 2000}])"),
      model);
  intervenable->trainable_parameters()[0].fill_(static_cast<double>(k));
  intervenable->interventions()[0]->interchange_dim = 1 + k % 997;
  if (k % 2 == 0) {
    intervenable->enable_model_gradients({"block_0.out"});
    model->blocks[0]->out->bias.fill_(static_cast<double>(k));
  }
  return intervenable;
}

/// The number of the interventions saved in a folder, after checking that all of it tells the same one.
inline std::int64_t number_saved(const std::string& folder) {
  const auto model = ToyModel::make();
  const torch::Tensor fresh = model->blocks[0]->out->bias.clone();
  std::string warnings;
  const auto loaded = vene::IntervenableModelImpl::load(folder, model, vene::InterventionRegistry::standard(),
                                                        [&](const std::string& text) { warnings += text; });
  EXPECT_EQ(warnings, "");
  const torch::Tensor mask = loaded->trainable_parameters()[0].detach();
  const auto k = mask[0].item<std::int64_t>();
  EXPECT_TRUE(torch::equal(mask, torch::full_like(mask, static_cast<double>(k))));
  EXPECT_EQ(loaded->config().representations[0].layer, k % 3) << "of " << k;
  EXPECT_EQ(loaded->interventions()[0]->interchange_dim, 1 + k % 997) << "of " << k;
  EXPECT_TRUE(
      torch::equal(model->blocks[0]->out->bias, k % 2 == 0 ? torch::full_like(fresh, static_cast<double>(k)) : fresh))
      << "of " << k;
  return k;
}

/// A training whose every step is a checkpoint in `output`; it goes on from the one there.
inline vene::train::TrainOptions long_training(const std::string& output) {
  return {.learning_rate = 1e-2,
          .epochs = 2000,
          .batch_size = 8,
          .schedule = vene::train::Schedule::kCosine,
          .warm_up = 0.1,
          .seed = 3,
          .output = output,
          .checkpoint_every = 1,
          .resume = true};
}

inline vene::IntervenableModel untrained() {
  return vene::IntervenableModel(
      vene::IntervenableConfig::parse(
          R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 3, "seed": 4}])"),
      ToyModel::make());
}

inline std::vector<vene::train::Example> some_examples() {
  std::vector<vene::train::Example> examples;
  for (std::int64_t i = 0; i < 24; ++i) {
    const std::int64_t a = i % 11, b = (3 * i + 1) % 11, c = (5 * i + 2) % 11;
    vene::train::Example example;
    example.base = ids({{a, b, c}});
    example.sources = {ids({{c, b, a}})};
    example.locations = vene::from(vene::at(1), vene::at(-1));
    example.labels = {{b, -1}};
    examples.push_back(example);
  }
  return examples;
}

}  // namespace vene_test
