// SPDX-License-Identifier: Apache-2.0
#include "vene/train/trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/models/gru.h"

namespace vene::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

class TrainerTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  fs::path folder_ = fs::path(testing::TempDir()) / "trainer_test";
  std::vector<Example> examples_ = make_examples(24);

  void SetUp() override { fs::remove_all(folder_); }
  // The token to predict is the source's at its read position: something that a subspace of the embeddings tells.
  static std::vector<Example> make_examples(std::int64_t count) {
    std::vector<Example> examples;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t a = i % 11, b = (3 * i + 1) % 11, c = (5 * i + 2) % 11;
      Example example;
      example.base = i % 4 == 0 ? ids({{a, b, c}}) : ids({{a, b, c, a}});
      example.sources = {ids({{c, b, a}})};
      example.locations = from(at(1), at(-1));
      example.labels = {{b, -1}};
      example.rival = c;
      examples.push_back(example);
    }
    return examples;
  }
  IntervenableModel make(const std::string& type = R"("low_rank_rotated_space", "low_rank_dimension": 3, "seed": 4)",
                         std::int64_t layer = 1) {
    return IntervenableModel(
        IntervenableConfig::parse(R"([{"layer": )" + std::to_string(layer) +
                                  R"(, "component": "block_output", "intervention_type": )" + type + "}]"),
        model_);
  }
  static std::vector<double> losses(const TrainReport& report) {
    std::vector<double> all;
    for (const StepRecord& record : report.steps) all.push_back(record.loss);
    return all;
  }
  static Tensor weights(IntervenableModel& model) { return model->trainable_parameters()[0].detach().clone(); }
};

TEST_F(TrainerTest, TheLossFallsUnderEveryOptimizerAndClass) {
  for (OptimizerKind optimizer : {OptimizerKind::kAdam, OptimizerKind::kAdamW, OptimizerKind::kSGD}) {
    auto model = make();
    Trainer trainer(model, {.optimizer = optimizer,
                            .learning_rate = optimizer == OptimizerKind::kSGD ? 0.3 : 3e-2,
                            .epochs = 8,
                            .batch_size = 8,
                            .clip = 5});
    const double before = trainer.evaluate(examples_).loss;
    const TrainReport report = trainer.fit(examples_);
    EXPECT_EQ(report.steps.size(), 8U * 4U) << "two shapes: 6 and 18 examples in batches of 8";
    EXPECT_LT(trainer.evaluate(examples_).loss, before - 0.01) << static_cast<int>(optimizer);
  }
  for (const char* type : {R"("rotated_space", "subspace_partition": [[0, 3], [3, 6]], "seed": 1)",
                           R"("boundless_rotated_space", "seed": 1)", R"("sigmoid_mask")",
                           R"("autoencoder", "latent_dim": 12, "seed": 1)"}) {
    auto model = make(type);
    std::vector<Example> examples = examples_;
    if (std::string(type).find("partition") != std::string::npos) {
      for (Example& example : examples) example.subspaces = {SubspaceIds{{{0}}}};
    }
    TrainOptions options{.learning_rate = 3e-2, .epochs = 8, .batch_size = 8};
    const bool has_temperature = model->set_temperature(1) > 0;
    if (has_temperature) options.temperature = std::pair(2.0, 0.5);
    const TrainReport report = Trainer(model, options).fit(examples);
    EXPECT_LT(report.steps.back().loss, report.steps.front().loss) << type;
    EXPECT_EQ(report.steps.front().temperature, has_temperature ? 2.0 : 0.0);
    EXPECT_EQ(report.steps.back().temperature, has_temperature ? 0.5 : 0.0);
  }
}

TEST_F(TrainerTest, WhatIsKeptFromTheFrozenModelChangesNothingAndSavesItsRuns) {
  // Plain gradient descent: Adam blows the rounding of a vanishing gradient up to a whole step.
  std::vector<double> with, without;
  for (const std::int64_t cache : {std::int64_t{0}, std::int64_t{1} << 20}) {
    auto model = make(R"("low_rank_rotated_space", "low_rank_dimension": 3, "seed": 4)", 2);
    Trainer trainer(
        model, {.optimizer = OptimizerKind::kSGD, .learning_rate = 0.1, .epochs = 4, .batch_size = 8, .cache = cache});
    model_->blocks_run = 0;
    (cache > 0 ? with : without) = losses(trainer.fit(examples_));
    // Without: each of 4 epochs' 4 batches, and one more to see whether the loss is still a number, runs 3 blocks for
    // the source and 3 for the base. With: the base's last block, and the values once.
    const int runs = model_->blocks_run;
    if (cache > 0) {
      EXPECT_EQ(runs, (16 + 4) * 1 + 4 * 6);
    } else {
      EXPECT_EQ(runs, (16 + 4) * 6);
    }
  }
  ASSERT_EQ(with.size(), without.size());
  for (std::size_t i = 0; i < with.size(); ++i) EXPECT_NEAR(with[i], without[i], 1e-5) << i;
}

TEST_F(TrainerTest, ValuesBeyondTheirRoomGoToFilesAndChangeNothing) {
  auto none = make();
  const auto expected = losses(
      Trainer(none, {.optimizer = OptimizerKind::kSGD, .learning_rate = 0.1, .epochs = 2, .batch_size = 8, .cache = 0})
          .fit(examples_));
  auto again = make();
  const auto got = losses(
      Trainer(again,
              {.optimizer = OptimizerKind::kSGD, .learning_rate = 0.1, .epochs = 2, .batch_size = 8, .cache = 400})
          .fit(examples_));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-5);
}

TEST_F(TrainerTest, AccumulatedBatchesAreOneLargeBatch) {
  std::vector<Example> same;  // of one shape
  for (const Example& example : examples_) {
    if (example.base.positions() == 4) same.push_back(example);
  }
  auto large = make(), parts = make();
  const auto one =
      losses(Trainer(large, {.optimizer = OptimizerKind::kSGD, .learning_rate = 0.3, .epochs = 3, .batch_size = 18})
                 .fit(same));
  const auto many = losses(
      Trainer(parts,
              {.optimizer = OptimizerKind::kSGD, .learning_rate = 0.3, .epochs = 3, .batch_size = 5, .accumulation = 4})
          .fit(same));
  ASSERT_EQ(one.size(), many.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], many[i], 1e-5);
}

TEST_F(TrainerTest, AStoppedAndResumedTrainingIsTheUnbrokenOneToTheBit) {
  for (OptimizerKind optimizer : {OptimizerKind::kAdam, OptimizerKind::kAdamW, OptimizerKind::kSGD}) {
    TrainOptions options{.optimizer = optimizer,
                         .learning_rate = 1e-2,
                         .momentum = optimizer == OptimizerKind::kSGD ? 0.9 : 0.0,
                         .epochs = 3,
                         .batch_size = 8,
                         .schedule = Schedule::kCosine,
                         .warm_up = 0.2};
    auto unbroken = make(), first = make(), second = make();
    const TrainReport whole = Trainer(unbroken, options).fit(examples_);
    for (const std::size_t stop : {1U, 4U, 6U}) {
      SetUp();
      TrainOptions broken = options;
      broken.output = folder_.string();
      broken.progress = [&](const Progress& progress) {
        return static_cast<std::size_t>(progress.latest.step) + 1 < stop;
      };
      first = make();
      const TrainReport part = Trainer(first, broken).fit(examples_);
      EXPECT_TRUE(part.cancelled);
      EXPECT_EQ(part.steps.size(), stop);
      broken.progress = nullptr;
      broken.resume = true;
      second = make(R"("low_rank_rotated_space", "low_rank_dimension": 3, "seed": 99)");
      const TrainReport rest = Trainer(second, broken).fit(examples_);
      EXPECT_EQ(losses(rest), losses(whole));
      EXPECT_TRUE(torch::equal(weights(second), weights(unbroken)));
      EXPECT_EQ(io::read_file((folder_ / "log.csv").string()), training_csv(whole.steps));
    }
  }
  const auto refused = [&](const TrainOptions& options, IntervenableModel model, const std::vector<Example>& examples,
                           const std::vector<Example>& validation = {}) {
    EXPECT_THAT([&] { Trainer(model, options).fit(examples, validation); },
                ThrowsMessage<PlanError>(HasSubstr("is the checkpoint of another training")));
  };
  TrainOptions same{.optimizer = OptimizerKind::kSGD,
                    .learning_rate = 1e-2,
                    .momentum = 0.9,
                    .epochs = 3,
                    .batch_size = 8,
                    .schedule = Schedule::kCosine,
                    .warm_up = 0.2,
                    .output = folder_.string(),
                    .resume = true};
  EXPECT_NO_THROW(Trainer(make(), same).fit(examples_));
  TrainOptions other = same;
  other.learning_rate = 2e-2;
  refused(other, make(), examples_);
  refused(same, make(R"("low_rank_rotated_space", "low_rank_dimension": 3, "map": "cayley")"), examples_);
  refused(same, make(R"("low_rank_rotated_space", "low_rank_dimension": 3)", 0), examples_);
  refused(same, make(), examples_, make_examples(7));
  for (const auto& change : std::vector<std::function<void(Example&)>>{
           [](Example& e) { e.labels[0].token = 9; }, [](Example& e) { e.locations = from(at(0), at(-1)); },
           [](Example& e) { e.base.input_ids = e.base.input_ids.flip({1}); }}) {
    std::vector<Example> changed = examples_;
    change(changed[6]);
    refused(same, make(), changed);
  }
}

TEST_F(TrainerTest, WhatHadRunOutOfPatienceGoesNoFurtherWhenResumed) {
  TrainOptions options{.learning_rate = 0.5, .epochs = 60, .batch_size = 8, .patience = 2, .output = folder_.string()};
  auto model = make(), again = make();
  const TrainReport report = Trainer(model, options).fit(examples_, make_examples(7));
  ASSERT_TRUE(report.stopped_early);
  EXPECT_EQ(io::read_file((folder_ / "validation.csv").string()), validation_csv(report.epochs));
  options.resume = true;
  const TrainReport resumed = Trainer(again, options).fit(examples_, make_examples(7));
  EXPECT_TRUE(resumed.stopped_early);
  EXPECT_EQ(losses(resumed), losses(report));
  EXPECT_TRUE(torch::equal(weights(again), weights(model)));
}

TEST_F(TrainerTest, TheBestStateHasTheTemperatureThatItWasMeasuredAt) {
  auto model = make(R"("boundless_rotated_space", "seed": 1)");
  Trainer trainer(
      model, {.learning_rate = 0.3, .epochs = 40, .batch_size = 8, .temperature = std::pair(5.0, 0.01), .patience = 3});
  const TrainReport report = trainer.fit(examples_, make_examples(7));
  double best = report.epochs[0].validation.loss;
  for (const EpochRecord& epoch : report.epochs) best = std::min(best, epoch.validation.loss);
  ASSERT_NE(report.epochs.back().validation.loss, best) << "the last epoch is wanted to be another one";
  EXPECT_NEAR(trainer.evaluate(make_examples(7)).loss, best, 1e-6);
}

TEST_F(TrainerTest, WhatTheLastStepBreaksIsNotKept) {
  for (const std::int64_t epochs : {1, 2}) {
    SetUp();
    auto model =
        make(R"("rotated_space", "map": "matrix_exponential", "subspace_partition": [[0, 3], [3, 6]], "seed": 1)");
    std::vector<Example> examples = examples_;
    for (Example& example : examples) example.subspaces = {SubspaceIds{{{0}}}};
    const Tensor start = weights(model);
    TrainOptions options{.learning_rate = 1e30, .epochs = epochs, .batch_size = 24, .output = folder_.string()};
    options.optimizer = OptimizerKind::kSGD;
    options.learning_rate = 1e38;
    EXPECT_THROW(Trainer(model, options).fit(examples), DivergedError);
    EXPECT_TRUE(torch::isfinite(weights(model)).all().item<bool>());
    EXPECT_FALSE(fs::exists(folder_ / "checkpoint.safetensors")) << "nothing that was good is there to go on from";
  }
}

// Interchange intervention training: the model keeps its task while it learns what the interventions ask for.
TEST_F(TrainerTest, AJointLossAlsoTrainsTheModelsOwnTask) {
  std::vector<Example> examples = examples_;
  for (Example& example : examples) example.task_labels = {{example.base.input_ids[0][0].item<std::int64_t>(), -1}};
  const auto task = [&] {
    double loss = 0;
    for (const Example& example : examples) {
      loss += cross_entropy(model_->forward(example.base).logits.slice(1, -1),
                            torch::tensor({{example.task_labels[0].token}}, torch::kInt64))
                  .item<double>();
    }
    return loss / static_cast<double>(examples.size());
  };
  const double before = task();
  std::vector<double> after;
  for (const double weight : {0.0, 2.0}) {
    model_ = ToyModel::make();
    auto model = make();
    model->enable_model_gradients();
    const TrainReport report =
        Trainer(model, {.learning_rate = 1e-2, .epochs = 6, .batch_size = 24, .task_weight = weight}).fit(examples);
    if (weight > 0) {
      EXPECT_GT(report.steps[0].loss, weight * before * 0.99);
      EXPECT_LT(report.steps.back().loss, report.steps[0].loss);
    }
    after.push_back(task());
  }
  EXPECT_LT(after[1], before);
  EXPECT_LT(after[1], after[0]);
  const auto refused = [&](bool enable, const char* text) {
    model_ = ToyModel::make();
    auto model = make();
    if (enable) model->enable_model_gradients();
    EXPECT_THAT([&] { Trainer(model, {.task_weight = 1}).fit(examples_); }, ThrowsMessage<PlanError>(HasSubstr(text)));
  };
  refused(false, "task_weight weighs what the model does by itself, and the model is frozen");
  refused(true, "example 0: it has no task labels, and task_weight asks for them");
}

TEST_F(TrainerTest, AnExampleThatDoesNotFitIsNamedBeforeAnythingIsDone) {
  examples_[13].locations = from(at(1), at(7));
  examples_[13].name = "examples[37]";
  auto model = make();
  EXPECT_THAT([&] { Trainer(model, {.output = folder_.string()}).fit(examples_); },
              ThrowsMessage<PlanError>(HasSubstr("examples[37]: representations[0]")));
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(TrainerTest, StepsOfARecurrentModelTrainAsTheyDoWithNothingKept) {
  torch::manual_seed(2);
  const auto gru = std::make_shared<models::GRU>(models::GRUOptions{.h_dim = 6,
                                                                    .n_layer = 2,
                                                                    .include_emb = true,
                                                                    .vocab_size = 11,
                                                                    .max_position_embeddings = 16,
                                                                    .head = models::GRUHead::kLanguageModel});
  for (Tensor& parameter : gru->parameters()) parameter.set_requires_grad(false);
  for (Example& example : examples_) example.locations = from(at({1, 2}), at({0, 1}));
  std::vector<std::vector<double>> all;
  for (const std::int64_t cache : {std::int64_t{0}, std::int64_t{1} << 30}) {
    IntervenableModel model(
        IntervenableConfig::parse(
            R"([{"component": "cell_output", "unit": "t", "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "seed": 4}])"),
        gru);
    all.push_back(
        losses(Trainer(model, {.learning_rate = 3e-2, .epochs = 3, .batch_size = 8, .cache = cache}).fit(examples_)));
  }
  EXPECT_EQ(all[0], all[1]);
}

TEST_F(TrainerTest, ItStopsWhenTheValidationLossNoLongerFallsAndKeepsTheBest) {
  auto model = make();
  std::vector<double> validation;
  Trainer trainer(model, {.learning_rate = 0.5, .epochs = 60, .batch_size = 8, .patience = 2});
  const TrainReport report = trainer.fit(examples_, make_examples(7));
  EXPECT_TRUE(report.stopped_early);
  ASSERT_GE(report.epochs.size(), 3U);
  double best = report.epochs[0].validation.loss;
  for (const EpochRecord& epoch : report.epochs) best = std::min(best, epoch.validation.loss);
  EXPECT_NEAR(trainer.evaluate(make_examples(7)).loss, best, 1e-5);
}

TEST_F(TrainerTest, ALossThatIsNotANumberNamesItsStepAndPutsTheLastGoodParametersBack) {
  auto model = make(), reference = make();
  int calls = 0;
  TrainOptions options{.learning_rate = 1e-2, .epochs = 2, .batch_size = 8, .cache = 0};
  options.loss = [&](const Tensor& logits, const ExampleBatch& batch) {
    const Tensor loss = cross_entropy(logits, batch.tokens).mean();
    return ++calls == 3 ? loss * std::nan("") : loss;
  };
  EXPECT_THAT([&] { Trainer(model, options).fit(examples_); },
              ThrowsMessage<PlanError>(HasSubstr(
                  "the loss is not a number at step 2 (epoch 0); the parameters are put back to those before step 1")));
  options.loss = nullptr;
  options.progress = [](const Progress&) { return false; };
  Trainer(reference, options).fit(examples_);
  EXPECT_TRUE(torch::equal(weights(model), weights(reference))) << "after step 0";
}

TEST_F(TrainerTest, NamedPartsOfTheModelTrainAlong) {
  auto model = make();
  model->enable_model_gradients({"head"});
  const Tensor before = model_->head->weight.detach().clone(), frozen = model_->blocks[0]->out->weight.detach().clone();
  Trainer trainer(model, {.learning_rate = 1e-2, .epochs = 2, .batch_size = 8});
  const double start = trainer.evaluate(examples_).loss;
  trainer.fit(examples_);
  EXPECT_LT(trainer.evaluate(examples_).loss, start);
  EXPECT_FALSE(torch::equal(model_->head->weight, before));
  EXPECT_TRUE(torch::equal(model_->blocks[0]->out->weight, frozen));
}

TEST_F(TrainerTest, AnEvaluationDoesNotDependOnItsBatches) {
  auto model = make();
  const Metrics one = Trainer(model, {.batch_size = 1}).evaluate(examples_, true);
  const Metrics many = Trainer(model, {.batch_size = 7}).evaluate(examples_, true);
  EXPECT_NEAR(one.loss, many.loss, 1e-5);
  EXPECT_NEAR(one.accuracy, many.accuracy, 1e-12);
  EXPECT_NEAR(one.logit_difference, many.logit_difference, 1e-5);
  EXPECT_NEAR(one.kl, many.kl, 1e-5);
  EXPECT_GT(one.kl, 0);
  EXPECT_TRUE(std::isnan(Trainer(model, {}).evaluate(examples_).kl));
}

TEST_F(TrainerTest, BadOptionsAreOneClearLine) {
  auto model = make();
  auto message = [&](TrainOptions options, const char* text) {
    EXPECT_THAT([&] { Trainer(model, std::move(options)).fit(examples_); }, ThrowsMessage<Error>(HasSubstr(text)));
  };
  message({.epochs = 0}, "epochs is 0, expected at least 1");
  message({.warm_up = 1.5}, "expected a share of the steps, 0 to 1");
  message({.resume = true}, "there is no output folder to go on from");
  auto frozen = make(R"("vanilla")");
  EXPECT_THAT([&] { Trainer(frozen, {}).fit(examples_); },
              ThrowsMessage<PlanError>(HasSubstr("there is nothing to train")));
}

}  // namespace
}  // namespace vene::train
