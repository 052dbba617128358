// SPDX-License-Identifier: Apache-2.0
// Generation on the stand-in: the CPU's tokens, and one wait a token.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/device/stand_in.h"
#include "tests/unit/core/generate_helpers.h"
#include "vene/base/error.h"

namespace vene_test {
namespace {

using namespace vene;
using testing::HasSubstr;
using testing::ThrowsMessage;

// The same model twice.
struct Pair {
  std::shared_ptr<models::StagedModel> cpu, device;
};

Pair both(bool llama) {
  Pair pair;
  if (llama) {
    pair = {small_llama(), small_llama()};
  } else {
    pair = {small_gpt2(), small_gpt2()};
  }
  pair.device->to(stand_in());
  return pair;
}

std::vector<GenerateOptions> ways() {
  std::vector<GenerateOptions> all(5, {.max_new_tokens = 12, .seed = 5});
  all[1].repetition_penalty = 1.3;
  all[2].temperature = 0.9;
  all[3].temperature = 0.8;
  all[3].top_k = 9;
  all[3].repetition_penalty = 1.2;
  all[4].temperature = 1.4;
  all[4].top_k = 30;
  all[4].top_p = 0.8;
  return all;
}

TEST(GenerateOnDevice, EveryWayOfChoosingWritesWhatItWritesOnTheCpu) {
  for (const bool llama : {false, true}) {
    const Pair pair = both(llama);
    for (const bool cache : {true, false}) {
      std::size_t way = 0;
      for (GenerateOptions options : ways()) {
        SCOPED_TRACE("way " + std::to_string(way++) + (cache ? ", cached" : "") + (llama ? ", llama" : ""));
        options.use_cache = cache;
        options.stop_tokens = {11, 12, 13, 14};  // so that rows end at different times
        const models::Batch prompts = prompts_of(kPrompts, true);
        const Generated expected = generate(*pair.cpu, prompts, options),
                        actual = generate(*pair.device, prompts.to(stand_in()), options);
        EXPECT_EQ(ids_of(actual), ids_of(expected));
        for (std::size_t row = 0; row < kPrompts.size(); ++row)
          EXPECT_EQ(actual.rows[row].stopped, expected.rows[row].stopped);
      }
    }
  }
}

TEST(GenerateOnDevice, ADecodingStepWaitsOnce) {
  const Pair pair = both(true);
  IntervenableModel steered(IntervenableConfig::parse(R"([{"layer": 1, "intervention_type": "addition"},
                                                          {"layer": 2, "component": "mlp_output", "intervention_type": "noise"}])"),
                            pair.device);
  const models::Batch prompts = prompts_of(kPrompts, true).to(stand_in());
  RunRequest request{.base = prompts, .locations = last()};
  request.source_representations = {torch::ones({16}), torch::Tensor()};
  std::size_t way = 0;
  for (GenerateOptions options : ways()) {
    const std::int64_t drawn = options.temperature > 0 ? 1 : 0;  // a random number a row
    SCOPED_TRACE(way++);
    for (const bool with : {false, true}) {
      std::vector<DeviceCounts> at;
      options.on_token = [&](const GeneratedToken& token) {
        if (token.row == 0) at.push_back(device_counts());
        return true;
      };
      with ? (void)steered->generate(request, options) : (void)generate(*pair.device, prompts, options);
      ASSERT_EQ(at.size(), 12U);
      for (std::size_t step = 3; step < at.size(); ++step) {  // what is made once is made
        EXPECT_EQ(at[step].stops() - at[step - 1].stops(), 1) << step;
        EXPECT_EQ(at[step].uploads - at[step - 1].uploads, drawn) << step << " " << with;
      }
    }
  }
}

TEST(GenerateOnDevice, TokensThatThereAreNotAreTold) {
  const Pair pair = both(true);
  models::Batch bad = row_of({3, 60, 5}).to(stand_in());
  const GenerateOptions short_one{.max_new_tokens = 3};
  const auto told = ThrowsMessage<ModelError>(HasSubstr("input_ids row 0 position 1: token id 60 is outside"));
  EXPECT_THAT([&] { pair.device->check(bad); }, told);
  EXPECT_THAT([&] { generate(*pair.device, bad, short_one); }, told);
  EXPECT_THAT(
      [&] {
        IntervenableModel(IntervenableConfig::parse(R"([{"layer": 1}])"), pair.device)
            ->forward({.base = bad, .sources = {bad}});
      },
      told);
  // A forward by itself does not look, and its answer is none, for that row.
  bad.input_ids = torch::cat({bad.input_ids, bad.input_ids.clamp_max(59)}, 0);
  const torch::Tensor logits = pair.device->forward(bad).logits.to(torch::kCPU);
  EXPECT_TRUE(logits[0][1].isnan().all().item<bool>());
  EXPECT_TRUE(logits[0][2].isnan().all().item<bool>());
  EXPECT_TRUE(logits[1].isfinite().all().item<bool>());
}

TEST(GenerateOnDevice, LogitsThatAreNoNumbersAreRefused) {
  const Pair pair = both(false);
  const torch::NoGradGuard no_grad;
  pair.device->parameters().back().fill_(std::nan(""));
  for (const GenerateOptions& options : ways())
    EXPECT_THAT(
        [&] {
          generate(*pair.device, row_of({1, 2}).to(stand_in()), options);
        },
        ThrowsMessage<ModelError>(HasSubstr("are not numbers (NaN)")));
}

}  // namespace
}  // namespace vene_test
