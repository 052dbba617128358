// SPDX-License-Identifier: Apache-2.0
// A really trained checkpoint of the Llama architecture against what is known of it: stories260k of the data folder.
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data_folder.h"
#include "vene/vene.h"

namespace {

using vene::models::Batch;

const std::string kGirl = "Once upon a time, there was a little girl named Lily.",
                  kBoy = "Once upon a time, there was a little boy named Tim.";
constexpr std::int64_t kHe = 346;

// P(" He") after the girl's text with the boy's block_output at positions 10 to 15 of each layer.
constexpr double kInterchange[5][6] = {{.002, .012, .011, .001, .114, .001},
                                       {.001, .001, .113, .001, .101, .001},
                                       {.001, .001, .076, .001, .025, .005},
                                       {.001, .001, .055, .001, .022, .006},
                                       {.001, .001, .001, .001, .001, .255}};

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    VENE_REQUIRE_DATA(data);
    folder = (*data / "stories260k").string();
    lm = vene::models::load(folder);
    reference = nlohmann::json::parse(std::ifstream(folder + "/reference.json"));
  }
  // The probability of `answer`, one token, after `prompt`.
  double probability(const std::string& prompt, const std::string& answer) const {
    const auto prompt_ids = lm.tokenizer->encode(prompt), ids = lm.tokenizer->encode(prompt + answer);
    EXPECT_EQ(ids.size(), prompt_ids.size() + 1) << answer;
    const Batch batch = lm.encode(prompt);
    return torch::softmax(lm.model->forward(batch).logits[0][-1], -1)[ids.back()].item<double>();
  }

  std::string folder;
  vene::models::LanguageModel lm;
  nlohmann::json reference;
  const torch::NoGradGuard no_grad;
};

TEST_F(Stories, HasTheLogitsOfTheReferenceAfterItsPrompt) {
  Batch batch;
  batch.input_ids =
      torch::tensor(reference.at("prompt_ids").get<std::vector<std::int64_t>>(), torch::kInt64).unsqueeze(0);
  const torch::Tensor logits = lm.model->forward(batch).logits[0][-1];
  const torch::Tensor expected = torch::tensor(reference.at("last_logits").get<std::vector<double>>(), torch::kFloat64);
  EXPECT_LE(((logits - expected).abs().max() / expected.abs().max()).item<double>(), 1e-5);
}

TEST_F(Stories, WritesTheReferencesTwoHundredGreedyTokens) {
  const auto expected = reference.at("greedy200").get<std::vector<std::int64_t>>();
  std::vector<std::int64_t> ids = {expected.at(0)};
  vene::models::KeyValueCache cache;
  while (ids.size() < expected.size()) {
    Batch next;
    next.input_ids = torch::tensor({{ids.back()}}, torch::kInt64);
    ids.push_back(lm.model->forward(next, {.cache = &cache}).logits[0][-1].argmax().item<std::int64_t>());
  }
  EXPECT_EQ(ids.size(), 201U);
  EXPECT_EQ(ids, expected);
}

TEST_F(Stories, TellsHeFromShe) {
  EXPECT_NEAR(probability("Lily was sad because", " she"), .578, 1e-3);
  EXPECT_NEAR(probability("Lily was sad because", " he"), .111, 1e-3);
  EXPECT_NEAR(probability("Tom was sad because", " he"), .742, 1e-3);
  EXPECT_NEAR(probability("Once upon a time, there was a little girl named Lily. One day,", " Lily"), .506, 1e-3);
  EXPECT_NEAR(probability(kGirl, " She"), .9018, 1e-4);
  EXPECT_NEAR(probability(kGirl, " He"), .0008, 1e-4);
  EXPECT_NEAR(probability(kBoy, " He"), .2549, 1e-4);
}

TEST_F(Stories, FollowsTheTableOfInterchangesOneByOne) {
  for (std::int64_t layer = 0; layer < 5; ++layer) {
    vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": )" + std::to_string(layer) +
                                                                    R"(, "component": "block_output"}])"),
                                    lm.model);
    for (std::int64_t position = 10; position <= 15; ++position) {
      const auto result =
          patched->forward({.base = lm.encode(kGirl), .sources = {lm.encode(kBoy)}, .locations = vene::at(position)});
      const double he = torch::softmax(result.intervened.logits[0][-1], -1)[kHe].item<double>();
      EXPECT_NEAR(he, kInterchange[layer][position - 10], 1e-3) << "layer " << layer << " position " << position;
    }
  }
}

TEST_F(Stories, FollowsTheTableOfInterchangesInOneSweep) {
  vene::Sweep sweep;
  std::string config;
  for (std::size_t layer = 0; layer < 5; ++layer) {
    config +=
        (layer > 0 ? ", " : "[") + (R"({"layer": )" + std::to_string(layer)) + R"(, "component": "block_output"})";
    for (std::int64_t position = 10; position <= 15; ++position)
      sweep.cells.push_back({0, {{layer, {position}, {}, {}}}});
  }
  sweep.config = vene::IntervenableConfig::parse(config + "]");
  sweep.base = lm.encode(kGirl);
  sweep.source = lm.encode(kBoy);
  const auto result = vene::run_sweep(sweep, lm.model, [](const torch::Tensor& logits) {
    return torch::softmax(logits.select(1, -1), -1).select(1, kHe);
  });
  for (std::int64_t cell = 0; cell < 30; ++cell) {
    EXPECT_NEAR(result.values[cell].item<double>(), kInterchange[cell / 6][cell % 6], 1e-3)
        << "layer " << cell / 6 << " position " << 10 + cell % 6;
  }
  EXPECT_NEAR(result.background[0].item<double>(), .0008, 1e-4);
  EXPECT_NEAR(result.source[0].item<double>(), .2549, 1e-4);
}

}  // namespace
