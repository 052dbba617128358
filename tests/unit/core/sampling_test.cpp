// SPDX-License-Identifier: Apache-2.0
// How tokens are drawn, on a model that says the same whatever it reads: each row of a wide batch is a sample.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <set>

#include "vene/base/error.h"
#include "vene/core/generate.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class Parrot : public models::Model {
 public:
  explicit Parrot(std::vector<double> probabilities)
      : logits_(torch::tensor(probabilities).log().to(torch::kFloat32)) {}
  models::Output forward(const models::Batch& batch, const models::ForwardOptions&) override {
    return {logits_.expand({batch.rows(), batch.positions(), -1}), {}, {}};
  }
  std::string architecture() const override { return "parrot"; }

 private:
  torch::Tensor logits_;
};

const std::vector<double> kProbabilities{0.05, 0.4, 0.1, 0.3, 0.15};

// How often each token is said first.
std::vector<double> shares(GenerateOptions options, std::int64_t rows = 4000) {
  Parrot parrot(kProbabilities);
  options.max_new_tokens = 1;
  options.use_cache = false;
  const Generated said = generate(parrot, {.input_ids = torch::zeros({rows, 1}, torch::kInt64)}, options);
  std::vector<double> counts(kProbabilities.size(), 0);
  for (const GeneratedRow& row : said.rows) counts[row.ids[1]] += 1.0 / static_cast<double>(rows);
  return counts;
}

void expect_shares(const std::vector<double>& seen, std::vector<double> expected) {
  double sum = 0;
  for (double share : expected) sum += share;
  // Four standard deviations of a share of 4000 draws are at most 0.032.
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(seen[i], expected[i] / sum, expected[i] == 0 ? 0 : 0.032) << i;
}

TEST(Sampling, DrawsTokensAsOftenAsTheModelSays) {
  expect_shares(shares({.temperature = 1}), kProbabilities);
}

TEST(Sampling, TemperatureSharpensAndFlattens) {
  for (const double temperature : {0.5, 2.0}) {
    std::vector<double> expected;
    for (double share : kProbabilities) expected.push_back(std::pow(share, 1 / temperature));
    expect_shares(shares({.temperature = temperature}), expected);
  }
}

TEST(Sampling, TopKKeepsTheBest) {
  expect_shares(shares({.temperature = 1, .top_k = 2}), {0, 0.4, 0, 0.3, 0});
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  expect_shares(shares({.temperature = 1, .top_p = 0.69}), {0, 0.4, 0, 0.3, 0});
  expect_shares(shares({.temperature = 1, .top_p = 0.71}), {0, 0.4, 0, 0.3, 0.15});
  expect_shares(shares({.temperature = 1, .top_p = 1e-9}), {0, 1, 0, 0, 0});
  // After top-k, of what that left.
  expect_shares(shares({.temperature = 1, .top_k = 3, .top_p = 0.8}), {0, 0.4, 0, 0.3, 0});
}

TEST(Sampling, ARowsTextHangsOnItsSeedAlone) {
  Parrot parrot(kProbabilities);
  GenerateOptions options{.max_new_tokens = 12, .temperature = 1, .seed = 40, .use_cache = false};
  const Generated together = generate(parrot, {.input_ids = torch::zeros({5, 1}, torch::kInt64)}, options);
  std::set<std::vector<std::int64_t>> different;
  for (std::uint64_t row = 0; row < 5; ++row) {
    options.seed = 40 + row;
    EXPECT_EQ(generate(parrot, {.input_ids = torch::zeros({1, 1}, torch::kInt64)}, options).rows[0].ids,
              together.rows[row].ids);
    different.insert(together.rows[row].ids);
  }
  EXPECT_EQ(different.size(), 5U);
}

TEST(Sampling, RepetitionPenaltyMakesTokensThatWereSaidLessLikely) {
  Parrot parrot(kProbabilities);
  // Logits are logarithms, so negative: the penalty multiplies them. Token 1 was in the prompt.
  GenerateOptions options{.max_new_tokens = 3, .repetition_penalty = 10, .use_cache = false};
  EXPECT_THAT(generate(parrot, {.input_ids = torch::ones({1, 1}, torch::kInt64)}, options).rows[0].ids,
              ElementsAre(1, 3, 4, 2));
}

TEST(Sampling, LogitsThatAreNotNumbersAreRefused) {
  Parrot parrot({0.5, -1.0});
  for (const double temperature : {0.0, 1.0}) {
    EXPECT_THAT(
        [&] {
          generate(parrot, {.input_ids = torch::zeros({1, 1}, torch::kInt64)},
                   {.temperature = temperature, .use_cache = false});
        },
        ThrowsMessage<ModelError>(HasSubstr("the logits of row 0 are not numbers")));
  }
}

TEST(Sampling, AModelWithoutACacheSaysSo) {
  Parrot parrot(kProbabilities);
  EXPECT_THAT(
      [&] {
        generate(parrot, {.input_ids = torch::zeros({1, 1}, torch::kInt64)});
      },
      ThrowsMessage<PlanError>(HasSubstr("this model (parrot) has no key-value cache; set use_cache to false")));
}

TEST(Sampling, AModelThatReadsAheadSaysThatItCannotGenerate) {
  class Encoder : public Parrot {
   public:
    using Parrot::Parrot;
    bool reads_ahead() const override { return true; }
  };
  Encoder encoder(kProbabilities);
  EXPECT_THAT(
      [&] {
        generate(encoder, {.input_ids = torch::zeros({1, 1}, torch::kInt64)}, {.use_cache = false});
      },
      ThrowsMessage<PlanError>(HasSubstr("this model (parrot) reads its whole text at once, so it cannot generate")));
}

}  // namespace
}  // namespace vene
