// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/train/metrics.h"
#include "vene/train/trainer.h"

namespace vene::train {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

Example example(const std::vector<std::int64_t>& base, const std::vector<std::int64_t>& source,
                const Locations& locations, std::vector<Label> labels = {{3, -1}}) {
  Example made;
  made.base = ids({base});
  made.sources = {ids({source})};
  made.locations = locations;
  made.labels = std::move(labels);
  return made;
}

TEST(BatchesTest, ExamplesOfOneShapeGoTogetherInOrder) {
  std::vector<Example> examples;
  for (int i = 0; i < 7; ++i)
    examples.push_back(i % 3 == 0 ? example({1, 2}, {3, 4}, at(1)) : example({1, 2, 3}, {3, 4, 5}, at(1)));
  EXPECT_EQ(batches(examples, 2, std::nullopt), (std::vector<std::vector<std::size_t>>{{0, 3}, {1, 2}, {4, 5}, {6}}));
  const auto shuffled = batches(examples, 2, 7);
  EXPECT_EQ(shuffled, batches(examples, 2, 7)) << "by the seed";
  EXPECT_NE(shuffled, batches(examples, 2, 8));
  std::multiset<std::size_t> rows;
  for (const auto& batch : shuffled) {
    for (const std::size_t row : batch) rows.insert(row);
  }
  EXPECT_EQ(rows, (std::multiset<std::size_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(BatchesTest, AJoinedBatchGivesTheResultsOfItsExamples) {
  auto model = ToyModel::make();
  IntervenableModel swap(IntervenableConfig::parse(R"([{"layer": 1, "component": "block_output"}])"), model);
  std::vector<Example> examples{example({1, 2, 3, 4}, {9, 8, 7, 6}, from(at(0), at(2))),
                                example({5, 6, 7, 8}, {4, 3, 2, 1}, from(at(1), at(3)))};
  for (Example& one : examples) one.subspaces = {SubspaceIds{{{one.base.input_ids[0][0].item<std::int64_t>()}}}};
  examples[0].labels = {{3, -1}, {2, 0}};
  examples[1].labels = {{4, 2}, {1, 3}};
  const ExampleBatch both = join(examples, {0, 1});
  EXPECT_TRUE(torch::equal(both.positions, torch::tensor({{3, 0}, {2, 3}})));
  EXPECT_TRUE(torch::equal(both.tokens, torch::tensor({{3, 2}, {4, 1}})));
  const Tensor together = swap->forward(both.request).intervened.logits;
  for (std::size_t row = 0; row < 2; ++row) {
    const Tensor alone = swap->forward(join(examples, {row}).request).intervened.logits;
    EXPECT_LT((alone[0] - together[static_cast<std::int64_t>(row)]).abs().max().item<double>(), 1e-6);
  }
}

TEST(BatchesTest, ErrorsNameTheExample) {
  auto message = [](auto action, const char* text) { EXPECT_THAT(action, ThrowsMessage<Error>(HasSubstr(text))); };
  const Example good = example({1, 2}, {3, 4}, at(1));
  message([] { batches({}, 2, std::nullopt); }, "the data set is empty");
  message([&] { batches({good}, 0, std::nullopt); }, "batch_size is 0, expected at least 1");
  message(
      [&] {
        join({good, example({1, 2, 3}, {3, 4, 5}, at(1))}, {0, 1});
      },
      "example 1 does not have the shape of example 0");
  message([&] { batches({good, example({1, 2}, {3, 4}, at(1), {})}, 2, std::nullopt); }, "example 1: it has no labels");
  message(
      [&] {
        join({example({1, 2}, {3, 4}, per_row({{0}, {1}}))}, {0});
      },
      "example 0: locations for 2 rows, an example has one");
  const auto model = ToyModel::make();
  message(
      [&] {
        check_labels({good, example({1, 2}, {3, 4}, at(1), {{11, -1}})}, *model);
      },
      "example 1: the label 11 is outside the vocabulary, whose tokens are 0 to 10");
  message(
      [&] {
        check_labels({example({1, 2}, {3, 4}, at(1), {{1, 2}})}, *model);
      },
      "example 0, labels: position 2 is out of range");
}

TEST(MetricsTest, TheyAreTheirFormulas) {
  const Tensor logits = torch::tensor({{{1.F, 2.F, 0.F}, {0.F, 0.F, 3.F}}, {{5.F, 1.F, 1.F}, {1.F, 2.F, 0.F}}});
  const Tensor tokens = torch::tensor({{1, 2}, {0, 0}});
  const Tensor expected = (torch::logsumexp(logits, -1) - logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)).mean(1);
  EXPECT_TRUE(torch::allclose(cross_entropy(logits, tokens), expected));
  EXPECT_TRUE(torch::equal(all_correct(logits, tokens), torch::tensor({true, false})));
  EXPECT_TRUE(torch::allclose(logit_difference(logits, tokens, torch::tensor({0, 2})), torch::tensor({1.F, 4.F})));
  EXPECT_TRUE(torch::allclose(kl_divergence(logits, logits), torch::zeros({2}), 0, 1e-7));
  const Tensor p = torch::softmax(logits, -1), q = torch::softmax(logits.flip(-1), -1);
  EXPECT_TRUE(torch::allclose(kl_divergence(logits, logits.flip(-1)), (p * (p / q).log()).sum(-1).mean(1), 1e-5, 1e-6));
}

TEST(ScheduleTest, ItRisesThenFalls) {
  EXPECT_EQ(schedule_factor(Schedule::kLinear, 0, 10, 0.2), 0);
  EXPECT_EQ(schedule_factor(Schedule::kLinear, 1, 10, 0.2), 0.5);
  EXPECT_EQ(schedule_factor(Schedule::kLinear, 2, 10, 0.2), 1);
  EXPECT_EQ(schedule_factor(Schedule::kLinear, 6, 10, 0.2), 0.5);
  EXPECT_NEAR(schedule_factor(Schedule::kCosine, 5, 10, 0), 0.5, 1e-12);
  EXPECT_EQ(schedule_factor(Schedule::kConstant, 9, 10, 0), 1);
}

}  // namespace
}  // namespace vene::train
