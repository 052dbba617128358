// SPDX-License-Identifier: Apache-2.0
// How much a sweep computes: rows x positions x blocks, counted by a model that passes everything on.
#include <gtest/gtest.h>

#include "tests/places.h"
#include "vene/models/load.h"
#include "vene/sweep/causal_trace.h"
#include "vene/sweep/sweep.h"

namespace vene {
namespace {

class CountingModel : public models::StagedModel {
 public:
  explicit CountingModel(std::shared_ptr<models::StagedModel> inner) : inner_(std::move(inner)) {
    register_module("inner", inner_);
    sites_ = inner_->sites();
  }
  models::StageState begin(const models::Batch& batch, models::KeyValueCache* cache) override {
    return inner_->begin(batch, cache);
  }
  models::StageState run(models::StageState state, std::int64_t first, std::int64_t last) override {
    work += state.hidden.size(0) * state.hidden.size(1) * (last - first);
    return inner_->run(std::move(state), first, last);
  }
  models::Output finish(const models::StageState& state, const torch::Tensor& positions,
                        const torch::Tensor& tokens) override {
    return inner_->finish(state, positions, tokens);
  }
  std::int64_t layer_count() const override { return inner_->layer_count(); }
  std::int64_t hidden_size() const override { return inner_->hidden_size(); }
  std::int64_t vocabulary_size() const override { return inner_->vocabulary_size(); }
  std::int64_t context_length() const override { return inner_->context_length(); }
  std::string architecture() const override { return inner_->architecture(); }

  std::int64_t work = 0;

 private:
  std::shared_ptr<models::StagedModel> inner_;
};

class WorkTest : public testing::Test {
 protected:
  WorkTest() {
    lm_ = models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
    counting_ = std::make_shared<CountingModel>(std::dynamic_pointer_cast<models::StagedModel>(lm_.model));
    lm_.model = counting_;
    layers_ = counting_->layer_count();
    prompt_ = lm_.encode("The Space Needle is in downtown");
  }

  Sweep patch_grid(models::Batch base) {
    Sweep sweep;
    for (std::int64_t layer = 0; layer < layers_; ++layer) {
      RepresentationConfig representation;
      representation.layer = layer;
      representation.component = "block_output";
      representation.intervention_type = "vanilla";
      sweep.config.add_intervention(representation);
    }
    sweep.base = std::move(base);
    sweep.source = prompt_;
    return sweep;
  }

  std::int64_t work_of(const Sweep& sweep, const SweepOptions& options = {}) {
    const SweepMetric metric = [](const torch::Tensor& logits) { return logits.select(1, -1).amax(-1); };
    counting_->work = 0;
    const torch::NoGradGuard no_grad;
    run_sweep(sweep, counting_, metric, options);
    return counting_->work;
  }

  models::LanguageModel lm_;
  std::shared_ptr<CountingModel> counting_;
  std::int64_t layers_ = 0;
  models::Batch prompt_;
};

TEST_F(WorkTest, AGridOfMixedLayersAndPositionsCostsTheSumOfItsCells) {
  Sweep sweep = patch_grid(prompt_);
  const std::int64_t positions = prompt_.positions();
  ASSERT_EQ(positions, 6);
  // The worst order, so that it is not the caller's that counts.
  for (std::int64_t layer = layers_ - 1; layer >= 0; --layer) {
    for (std::int64_t position = 0; position < positions; ++position)
      sweep.cells.push_back({0, {{static_cast<std::size_t>(layer), {position}, {}, {}}}});
  }
  const std::int64_t once = 2 * layers_ * positions;  // the source and the base
  EXPECT_EQ(work_of(sweep), 441 + once) << "36 cells; 1,296 one by one";
  for (const std::int64_t rows : {1, 4}) {
    SweepOptions options;
    options.rows_per_batch = rows;
    EXPECT_EQ(work_of(sweep, options), 441 + once) << rows << " rows a batch";
  }
}

TEST_F(WorkTest, ACausalTraceCostsTheSumOfItsCells) {
  const std::pair<std::int64_t, std::int64_t> expected[]{{1, 13230}, {2, 15330}, {10, 19530}};
  for (const auto& [window, work] : expected) {
    CausalTraceOptions options;
    options.subject = "The Space Needle";
    options.window = window;
    counting_->work = 0;
    causal_trace(lm_, "The Space Needle is in downtown", options);
    // Besides: the answer is looked for, the clean run, and the noised ones.
    EXPECT_EQ(counting_->work, work + layers_ * 6 * (2 + options.samples)) << "window " << window;
  }
}

TEST_F(WorkTest, RaggedRowsCountFromTheirOwnColumns) {
  // Two rows of 4 and 6 tokens in six columns, one padded on the left and one on the right.
  for (const bool left : {true, false}) {
    constexpr std::int64_t kColumns = 6, kLength = 4;
    models::Batch base;
    base.input_ids = prompt_.input_ids.repeat({2, 1});
    base.attention_mask = torch::ones({2, kColumns}, torch::kInt64);
    base.attention_mask[1].narrow(0, left ? 0 : kLength, kColumns - kLength).zero_();
    Sweep sweep = patch_grid(base);
    sweep.cells = {{0, {{0, {4}, {}, {}}}}, {1, {{3, {1}, {}, {}}, {5, {0}, {}, {}}}}};
    const std::int64_t column = left ? kColumns - kLength : 0;  // of the second cell's first position
    const std::int64_t cells = layers_ * (kColumns - 4) + (layers_ - 3) * (kColumns - column);
    EXPECT_EQ(work_of(sweep), cells + layers_ * kColumns * 3) << (left ? "left" : "right");
  }
}

TEST_F(WorkTest, LogitsComeInTheOrderOfTheirPositions) {
  Sweep sweep = patch_grid(prompt_);
  sweep.cells = {{0, {{4, {4}, {}, {}}}}};
  const SweepMetric each = [](const torch::Tensor& logits) { return logits.amax(-1); };
  const torch::NoGradGuard no_grad;
  sweep.logit_positions = {5, 2};
  const SweepResult backward = run_sweep(sweep, counting_, each);
  sweep.logit_positions = {2, 5};
  const SweepResult forward = run_sweep(sweep, counting_, each);
  ASSERT_NE(forward.values[0][0].item<float>(), forward.values[0][1].item<float>());
  EXPECT_LE((backward.values.flip({1}) - forward.values).abs().max().item<float>(), 1e-5);
  EXPECT_LE((backward.background.flip({1}) - forward.background).abs().max().item<float>(), 1e-5);
}

TEST_F(WorkTest, LogitsThatAreWantedEarlierAreComputed) {
  Sweep sweep = patch_grid(prompt_);
  sweep.logit_positions = {2, 5};
  sweep.cells = {{0, {{4, {4}, {}, {}}}}};
  EXPECT_EQ(work_of(sweep), (layers_ - 4) * (6 - 2) + 2 * layers_ * 6);
}

}  // namespace
}  // namespace vene
