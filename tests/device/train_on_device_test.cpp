// SPDX-License-Identifier: Apache-2.0
// Training, sweeps, tracing and locating on the stand-in: the CPU's results, and waits that do not grow with the work.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>

#include "tests/device/stand_in.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "tests/unit/models/helpers.h"
#include "vene/core/intervenable_model.h"
#include "vene/models/load.h"
#include "vene/sweep/causal_trace.h"
#include "vene/sweep/sweep.h"
#include "vene/train/locate.h"
#include "vene/train/trainer.h"

namespace vene_test {
namespace {

namespace fs = std::filesystem;
using namespace vene;
using torch::Tensor;
using train::OptimizerKind;
using train::TrainOptions;

const c10::Device kCpu(c10::kCPU);

std::vector<train::Example> examples(c10::Device device, bool ragged) {
  std::vector<train::Example> all;
  for (std::int64_t i = 0; i < 24; ++i) {
    const std::int64_t a = 1 + i % 11, b = (3 * i + 1) % 60, c = (5 * i + 2) % 60;
    train::Example example;
    example.base = row_of({a, b, c, a + b % 7}).to(device);
    example.sources = {row_of({c, b, a}).to(device)};
    if (ragged) {
      example.base.attention_mask =
          torch::tensor({{i % 2, std::int64_t{1}, std::int64_t{1}, std::int64_t{1}}}).to(device);
      example.sources[0]->attention_mask =
          torch::tensor({{std::int64_t{1}, std::int64_t{1}, std::int64_t{1}}}).to(device);
    }
    example.locations = vene::from(vene::at(1), vene::at(-1));
    example.labels = {{b, -1}};
    all.push_back(example);
  }
  return all;
}

std::shared_ptr<models::GPT2> frozen_model(c10::Device device) {
  auto model = small_gpt2(1);
  for (Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
  model->to(device);
  return model;
}

IntervenableModel trained_one(c10::Device device, const std::string& type, std::int64_t seed = 4) {
  const auto model = frozen_model(device);
  const std::string seeded = seed < 0 ? "" : R"(, "seed": )" + std::to_string(seed);
  return IntervenableModel(IntervenableConfig::parse(R"([{"layer": 1, "intervention_type": )" + type + seeded + "}]"),
                           model);
}

const std::string kLowRank = R"("low_rank_rotated_space", "low_rank_dimension": 3)";

std::vector<double> losses(const train::TrainReport& report) {
  std::vector<double> all;
  for (const train::StepRecord& record : report.steps) all.push_back(record.loss);
  return all;
}

Tensor weights(IntervenableModel& model) {
  return model->trainable_parameters()[0].detach().to(torch::kCPU).clone();
}

TEST(TrainOnDevice, EveryOptimizerAndClassLearnsAsOnTheCpu) {
  struct Way {
    OptimizerKind optimizer;
    std::string type;
    bool ragged;
    std::int64_t cache;
  };
  const std::vector<Way> ways{{OptimizerKind::kSGD, kLowRank, false, std::int64_t{1} << 20},
                              {OptimizerKind::kSGD, kLowRank, true, 0},
                              {OptimizerKind::kAdam, kLowRank, false, 0},
                              {OptimizerKind::kAdamW, R"("rotated_space")", true, std::int64_t{1} << 20},
                              {OptimizerKind::kSGD, R"("rotated_space", "map": "matrix_exponential")", false, 0},
                              {OptimizerKind::kSGD, R"("boundless_rotated_space")", false, 0},
                              {OptimizerKind::kSGD, R"("autoencoder", "latent_dim": 20)", true, 0},
                              // Half of the values in memory, half of them in files.
                              {OptimizerKind::kSGD, kLowRank, true, 2600}};
  for (std::size_t i = 0; i < ways.size(); ++i) {
    SCOPED_TRACE(i);
    std::vector<std::vector<double>> all;
    std::vector<Tensor> learned;
    for (const c10::Device device : {kCpu, stand_in()}) {
      auto model = trained_one(device, ways[i].type);
      TrainOptions options{.optimizer = ways[i].optimizer, .learning_rate = 1e-2, .epochs = 2, .batch_size = 7};
      options.accumulation = 2;
      options.clip = 0.5;
      options.cache = ways[i].cache;
      all.push_back(losses(train::Trainer(model, options).fit(examples(device, ways[i].ragged))));
      learned.push_back(weights(model));
      EXPECT_EQ(model->trainable_parameters()[0].device(), device);
    }
    ASSERT_EQ(all[0].size(), all[1].size());
    for (std::size_t step = 0; step < all[0].size(); ++step) EXPECT_NEAR(all[0][step], all[1][step], 2e-6) << step;
    // Adam makes whole steps of what is rounding in a gradient of nearly zero.
    EXPECT_LE(relative_error(learned[1], learned[0]), ways[i].optimizer == OptimizerKind::kSGD ? 1e-6 : 1e-3);
  }
}

TEST(TrainOnDevice, AStoppedAndResumedTrainingIsTheUnbrokenOneToTheBit) {
  const TestFolder own;
  const fs::path folder = fs::path(own.path()) / "out";
  for (const OptimizerKind optimizer : {OptimizerKind::kAdam, OptimizerKind::kAdamW, OptimizerKind::kSGD}) {
    fs::remove_all(folder);
    TrainOptions options{.optimizer = optimizer, .learning_rate = 1e-2, .epochs = 3, .batch_size = 8};
    if (optimizer == OptimizerKind::kSGD) options.momentum = 0.9;
    const auto data = examples(stand_in(), true);
    auto unbroken = trained_one(stand_in(), kLowRank), first = trained_one(stand_in(), kLowRank),
         second = trained_one(stand_in(), kLowRank, 99);
    const auto whole = losses(train::Trainer(unbroken, options).fit(data));
    options.output = folder.string();
    options.progress = [](const train::Progress& progress) { return progress.latest.step < 3; };
    EXPECT_TRUE(train::Trainer(first, options).fit(data).cancelled);
    options.progress = nullptr;
    options.resume = true;
    EXPECT_EQ(losses(train::Trainer(second, options).fit(data)), whole);
    EXPECT_TRUE(torch::equal(weights(second), weights(unbroken)));
  }
}

// A loss that draws on the device, as dropout does.
TEST(TrainOnDevice, ItsRandomNumbersGoOnWhereTheyWere) {
  const TestFolder own;
  const fs::path folder = fs::path(own.path()) / "out";
  fs::remove_all(folder);
  const auto data = examples(stand_in(), false);
  TrainOptions options{.learning_rate = 1e-2, .epochs = 2, .batch_size = 8};
  options.loss = [](const Tensor& logits, const train::ExampleBatch& batch) {
    return train::cross_entropy(logits + torch::randn_like(logits), batch.tokens.to(logits.device())).mean();
  };
  at::Generator random = at::globalContext().defaultGenerator(stand_in());
  const auto start = [&] { random.set_current_seed(7); };
  auto unbroken = trained_one(stand_in(), kLowRank), first = trained_one(stand_in(), kLowRank),
       second = trained_one(stand_in(), kLowRank);
  start();
  const auto whole = losses(train::Trainer(unbroken, options).fit(data));
  options.output = folder.string();
  options.progress = [](const train::Progress& progress) { return progress.latest.step < 1; };
  start();
  train::Trainer(first, options).fit(data);
  options.progress = nullptr;
  options.resume = true;
  random.set_current_seed(8);
  EXPECT_EQ(losses(train::Trainer(second, options).fit(data)), whole);
}

TEST(TrainOnDevice, AStepWaitsOnce) {
  for (const bool ragged : {false, true}) {
    for (const std::int64_t cache : {std::int64_t{0}, std::int64_t{1} << 20}) {
      for (const std::string& type : {kLowRank, std::string(R"("rotated_space")"), std::string(R"("sigmoid_mask")"),
                                      std::string(R"("autoencoder", "latent_dim": 20)")}) {
        SCOPED_TRACE(type + (ragged ? ", ragged" : "") + (cache > 0 ? ", kept" : ""));
        auto model = type == R"("sigmoid_mask")" ? trained_one(stand_in(), R"("sigmoid_mask", "temperature": 0.01)", -1)
                                                 : trained_one(stand_in(), type);
        std::vector<std::int64_t> at;
        TrainOptions options{.learning_rate = 1e-2, .epochs = 3, .batch_size = 4, .accumulation = 2};
        options.clip = 1;
        options.cache = cache;
        options.progress = [&](const train::Progress&) {
          at.push_back(device_counts().stops());
          return true;
        };
        train::Trainer(model, options).fit(examples(stand_in(), ragged));
        ASSERT_EQ(at.size(), 9U);  // three steps an epoch
        // The last step of an epoch also asks whether the loss is still a number.
        for (std::size_t step = 3; step < at.size(); ++step)
          EXPECT_EQ(at[step] - at[step - 1], step % 3 == 2 ? 2 : 1) << step;
      }
    }
  }
}

TEST(TrainOnDevice, AnEvaluationWaitsForNothingButItsResult) {
  auto model = trained_one(stand_in(), kLowRank), plain = trained_one(kCpu, kLowRank);
  std::vector<std::int64_t> stops;
  for (const std::int64_t batch_size : {24, 3}) {
    const TrainOptions options{.batch_size = batch_size};
    train::Metrics metrics;
    const auto data = examples(stand_in(), false);
    // What a plan is compiled for is checked, a batch at a time.
    stops.push_back(counted([&] { metrics = train::Trainer(model, options).evaluate(data, true); }).stops());
    const train::Metrics expected = train::Trainer(plain, options).evaluate(examples(kCpu, false), true);
    EXPECT_NEAR(metrics.loss, expected.loss, 1e-6);
    EXPECT_EQ(metrics.accuracy, expected.accuracy);
    EXPECT_NEAR(metrics.kl, expected.kl, 1e-6);
  }
  EXPECT_EQ(stops[0], 1 + 2) << "the base's tokens, the source's, the result";
  EXPECT_EQ(stops[1], 1 + 8 * 2);
}

TEST(SavedOnDevice, WhatIsSavedThereIsReadAnywhere) {
  const TestFolder own;
  const fs::path folder = fs::path(own.path()) / "out";
  for (const std::string& type : {kLowRank, std::string(R"("rotated_space", "map": "cayley")"),
                                  std::string(R"("autoencoder", "latent_dim": 20, "latents": [1, -2, 7])")}) {
    fs::remove_all(folder);
    auto model = trained_one(stand_in(), type);
    train::Trainer(model, TrainOptions{.learning_rate = 1e-2, .batch_size = 8}).fit(examples(stand_in(), false));
    model->save(folder.string());
    const auto request = [](c10::Device device) {
      return RunRequest{.base = row_of({5, 6, 7, 8}).to(device), .sources = {row_of({9, 10, 11, 12}).to(device)}};
    };
    const torch::NoGradGuard no_grad;
    const Tensor expected = model->forward(request(stand_in())).intervened.logits.to(torch::kCPU);
    for (const c10::Device device : {kCpu, stand_in()}) {
      const auto loaded = IntervenableModelImpl::load(folder.string(), frozen_model(device));
      ASSERT_EQ(loaded->trainable_parameters().size(), model->trainable_parameters().size());
      EXPECT_LE(relative_error(loaded->forward(request(device)).intervened.logits.to(torch::kCPU), expected), 1e-6);
      for (std::size_t i = 0; i < loaded->trainable_parameters().size(); ++i)
        EXPECT_TRUE(torch::equal(loaded->trainable_parameters()[i].to(torch::kCPU),
                                 model->trainable_parameters()[i].to(torch::kCPU)));
    }
  }
}

// --- grids

SweepResult swept(c10::Device device, std::int64_t rows, bool ragged, DeviceCounts* counts = nullptr) {
  const auto model = small_gpt2(2);
  model->to(device);
  Sweep sweep;
  sweep.config = IntervenableConfig::parse(R"([{"layer": 0}, {"layer": 1, "component": "mlp_output"}, {"layer": 2}])");
  sweep.base =
      ragged ? padded({{5, 9, 31, 2, 44}, {50, 1, 12}}, true) : padded({{5, 9, 31, 2, 44}, {8, 3, 27, 4, 5}}, true);
  if (!ragged) sweep.base.attention_mask = Tensor();
  sweep.base = sweep.base.to(device);
  sweep.source = row_of({7, 7, 19, 20, 21}).to(device);
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t position = 0; position < 3; ++position) {
      for (std::size_t representation = 0; representation < 3; ++representation)
        sweep.cells.push_back({row, {{representation, {position}, {}, {}}}});
    }
  }
  SweepResult result;
  const torch::NoGradGuard no_grad;
  const DeviceCounts happened = counted([&] {
    result = run_sweep(sweep, model,
                       [](const Tensor& logits) { return torch::softmax(logits.select(1, -1), -1).select(1, 3); },
                       {.rows_per_batch = rows});
  });
  if (counts != nullptr) *counts = happened;
  return result;
}

TEST(SweepOnDevice, ItsValuesAreTheCpusAndItsBatchesWaitForNothing) {
  for (const bool ragged : {false, true}) {
    DeviceCounts few, many;
    const SweepResult expected = swept(kCpu, 0, ragged), once = swept(stand_in(), 100, ragged, &few),
                      often = swept(stand_in(), 2, ragged, &many);
    EXPECT_LE(relative_error(once.values, expected.values), 1e-6);
    EXPECT_LE(relative_error(often.values, expected.values), 1e-6);
    EXPECT_LE(relative_error(once.background, expected.background), 1e-6);
    EXPECT_LE(relative_error(once.source, expected.source), 1e-6);
    EXPECT_EQ(many.stops(), few.stops()) << "9 batches wait as often as 1";
    EXPECT_LE(few.stops(), ragged ? 7 : 5);
  }
}

const models::LanguageModel& bundled(c10::Device device) {
  static const models::LanguageModel cpu = models::load(std::string(kSourceFolder) + "/assets/landmarks-gpt2"),
                                     other = models::load(std::string(kSourceFolder) + "/assets/landmarks-gpt2",
                                                          {.device = stand_in()});
  return device.is_cpu() ? cpu : other;
}

TEST(TraceOnDevice, ItIsTheCpusTrace) {
  CausalTraceOptions options;
  options.subject = "The Space Needle";
  options.samples = 2;
  options.window = 2;
  const auto traced = [&](c10::Device device) {
    return causal_trace(bundled(device), "The Space Needle is in downtown", options);
  };
  const CausalTrace expected = traced(kCpu), actual = traced(stand_in());
  EXPECT_EQ(actual.target, expected.target);
  EXPECT_NEAR(actual.noise, expected.noise, 1e-6);
  ASSERT_EQ(actual.streams.size(), expected.streams.size());
  for (std::size_t i = 0; i < actual.streams.size(); ++i)
    EXPECT_LE(relative_error(actual.streams[i].probability, expected.streams[i].probability), 1e-5);
}

TEST(LocateOnDevice, ItIsTheCpusGridAndAStepWaitsForNothing) {
  LocateTask task = LocateTask::load(std::string(kSourceFolder) + "/examples/tasks/gender.json");
  for (auto& entry : task.classes) entry.names.resize(12);
  LocateOptions options;
  options.layers = {0, 3};
  options.batch = 5;
  options.steps = 8;
  const auto located = [&](c10::Device device) { return vene::locate(bundled(device), task, options); };
  const LocateResult expected = located(kCpu), actual = located(stand_in());
  EXPECT_TRUE(torch::allclose(actual.iia, expected.iia, 0, 1e-9)) << actual.iia << expected.iia;
  for (std::size_t i = 0; i < expected.directions.size(); ++i)
    EXPECT_LE((actual.directions[i] - expected.directions[i]).abs().max().item<double>(), 1e-3);
  std::vector<std::int64_t> stops;
  for (const std::int64_t steps : {8, 20}) {
    options.steps = steps;
    stops.push_back(counted([&] { located(stand_in()); }).stops());
  }
  EXPECT_EQ(stops[0], stops[1]);
}

}  // namespace
}  // namespace vene_test
