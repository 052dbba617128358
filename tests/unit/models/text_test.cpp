// SPDX-License-Identifier: Apache-2.0
// Texts in, tokens out: what a loaded model does with its tokenizer. On the bundled model.
#include <gmock/gmock.h>

#include "helpers.h"
#include "tests/places.h"
#include "vene/models/load.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::LanguageModel;

const LanguageModel& bundled() {
  static const LanguageModel model =
      vene::models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  return model;
}

TEST(LanguageModelText, OneTextIsARowWithoutAMask) {
  const Batch batch = bundled().encode("The Space Needle is in downtown");
  EXPECT_EQ(batch.rows(), 1);
  EXPECT_FALSE(batch.attention_mask.defined());
  EXPECT_EQ(batch.positions(),
            static_cast<std::int64_t>(bundled().tokenizer->encode("The Space Needle is in downtown").size()));
}

TEST(LanguageModelText, TextsOfSeveralLengthsArePaddedOnTheRight) {
  const std::vector<std::string> texts = {"The Colosseum is in", "The Colosseum is in downtown Rome, the capital"};
  const Batch batch = bundled().encode(texts);
  ASSERT_TRUE(batch.attention_mask.defined());
  const torch::Tensor together = output_of(*bundled().model, batch);
  for (std::int64_t row = 0; row < 2; ++row) {
    const torch::Tensor alone = output_of(*bundled().model, bundled().encode(texts[static_cast<std::size_t>(row)]))[0];
    EXPECT_EQ(batch.attention_mask[row].sum().item<std::int64_t>(), alone.size(0));
    EXPECT_LE(relative_error(together[row].narrow(0, 0, alone.size(0)), alone), 1e-5) << row;
  }
  EXPECT_FALSE(bundled().encode({texts[0], texts[0]}).attention_mask.defined()) << "nothing is padded";
}

TEST(LanguageModelText, TopTokensComeInOrderWithTheirTexts) {
  const torch::Tensor logits = output_of(*bundled().model, bundled().encode("The Space Needle is in downtown"));
  const auto top = bundled().top_tokens(logits, 3);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].text, " Seattle");
  EXPECT_GE(top[0].probability, top[1].probability);
  EXPECT_NEAR(top[0].probability, torch::softmax(logits[0][-1], -1)[top[0].id].item<double>(), 1e-6);
  EXPECT_EQ(bundled().top_tokens(logits, 1, logits.size(1) - 1)[0].id, top[0].id);
}

TEST(LanguageModelText, NamesWhatCannotBeDone) {
  EXPECT_THAT(model_error([] { LanguageModel().encode("a"); }),
              HasSubstr("this model has no tokenizer; give token ids"));
  EXPECT_THAT(model_error([] { bundled().encode(std::vector<std::string>()); }),
              HasSubstr("encode: expected at least one text"));
  EXPECT_THAT(model_error([] {
                bundled().encode(std::vector<std::string>{"Rome", ""});
              }),
              HasSubstr("encode: text 1 has no tokens"));
  EXPECT_THAT(model_error([] {
                bundled().top_tokens(torch::zeros({1, 4, 5}), 1, 4);
              }),
              HasSubstr("top_tokens: position 4 is out of range: there are 4"));
  EXPECT_THAT(model_error([] {
                bundled().top_tokens(torch::zeros({4, 5}), 1);
              }),
              HasSubstr("expected logits [batch, pos, vocabulary], got [4, 5]"));
}

}  // namespace
