// SPDX-License-Identifier: Apache-2.0
// The experiments of ../shared/cases/runs, read in place: what a padded row gets is what it gets alone.
#include <gmock/gmock.h>

#include "tests/places.h"
#include "tests/unit/models/helpers.h"
#include "vene/core/experiment.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using vene_test::relative_error;

class SharedRuns : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::path(vene_test::kSourceFolder) / ".." / "shared" / "cases" / "runs";
    if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "../shared/cases/runs is absent beside the checkout";
    model = models::load((folder / "model").string());
  }
  Experiment experiment(const std::string& name) const {
    return load_experiment((folder / (name + ".json")).string(), model);
  }
  Result run(const std::string& name) const { return run_experiment(experiment(name), model); }
  // The logits of a row's own positions.
  Tensor logits(const std::string& name) const {
    const Experiment one = experiment(name);
    const Tensor all = run_experiment(one, model).intervened.logits[0];
    const Tensor& mask = one.request.base.attention_mask;
    return mask.defined() ? all.index_select(0, mask[0].nonzero().flatten()) : all;
  }

  std::filesystem::path folder;
  models::LanguageModel model;
};

TEST_F(SharedRuns, APaddedPatternEqualsTheRowAlone) {
  EXPECT_LE(relative_error(logits("F1a_pattern_left_into_right"), logits("F1a_alone")), 1e-5);
}

TEST_F(SharedRuns, ZeroedScoresHideThePaddingStill) {
  const Tensor alone = logits("F4_scores_zero_alone");
  EXPECT_LE(relative_error(logits("F4_scores_zero_pad0"), alone), 1e-5);
  EXPECT_LE(relative_error(logits("F4_scores_zero_pad50"), alone), 1e-5);
}

TEST_F(SharedRuns, NoiseDoesNotCountPadding) {
  const Tensor alone = logits("F2_noise_alone");
  EXPECT_LE(relative_error(logits("F2_noise_left_padded"), alone), 1e-5);
  EXPECT_LE(relative_error(logits("F2_noise_all_is_right"), alone), 1e-5);
  const auto all = generate_experiment(experiment("F2_noise_generate_batch"), model).intervened.rows;
  const auto one = generate_experiment(experiment("F2_noise_generate_alone"), model).intervened.rows;
  EXPECT_EQ(all[0].ids, one[0].ids);
}

TEST_F(SharedRuns, APartAndItsWholeActInTheConfigsOrder) {
  const Result result = run("F5_order_gpt2");
  EXPECT_EQ(result.collected[0].value.abs().max().item<double>(), 0);
}

TEST_F(SharedRuns, WithoutLocationsPositionsGoIntoTheirOwn) {
  const Tensor expected = logits("F7b_nolocation_left_padded_wider_works");
  EXPECT_LE(relative_error(logits("F7a_nolocation_right_padded_wider"), expected), 1e-5);
  Experiment heads = experiment("F7c_nolocation_head_left_padded");
  const Tensor padded = run_experiment(heads, model).intervened.logits;
  heads.request.sources[0] = models::Batch{heads.request.sources[0]->input_ids.narrow(1, 1, 3), {}, {}, {}};
  EXPECT_LE(relative_error(padded, run_experiment(heads, model).intervened.logits), 1e-5);
}

TEST_F(SharedRuns, CollectTellsWhatIsThere) {
  const Result result = run("F8_collect_without_locations_ragged");
  ASSERT_TRUE(result.collected[0].valid.defined());
  EXPECT_EQ(result_tensors(result).back().first, "collected.0.valid");
  EXPECT_TRUE(
      torch::equal(result.collected[0].valid, torch::tensor({{1, 1, 1}, {1, 1, 0}}, torch::kInt64).to(torch::kBool)));
}

TEST_F(SharedRuns, WhatIsWrongIsRefused) {
  EXPECT_THAT([&] { run("F9_hole_in_mask"); },
              ThrowsMessage<PlanError>(HasSubstr("base, row 0: the attention mask has a hole between tokens")));
  EXPECT_THAT([&] { run("F10_attention_weight"); },
              ThrowsMessage<PlanError>(HasSubstr("did you mean 'attention_pattern'?")));
}

}  // namespace
}  // namespace vene
