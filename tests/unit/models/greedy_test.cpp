// SPDX-License-Identifier: Apache-2.0
// Longer texts than any window here, on every folder of tests/golden/models that has 50 greedy tokens of the library
// that the port follows.
#include <gmock/gmock.h>

#include "helpers.h"

namespace {

using namespace vene_test;
using vene::models::Batch;
using vene::models::KeyValueCache;

constexpr double kTolerance = 1e-5;
constexpr std::int64_t kPrompt = 6;

std::vector<std::string> folders_with_greedy_tokens() {
  std::vector<std::string> names;
  for (const std::string& name : golden_language_models()) {
    if (read_values(golden_folder(name) / "reference.safetensors").contains("greedy")) names.push_back(name);
  }
  return names;
}

class Greedy : public testing::TestWithParam<std::string> {
 protected:
  Batch columns(std::int64_t begin, std::int64_t count) const {
    Batch batch;
    batch.input_ids = text.narrow(1, begin, count);
    return batch;
  }
  std::vector<std::int64_t> ids(std::int64_t begin, std::int64_t count) const {
    const torch::Tensor piece = text[0].narrow(0, begin, count).contiguous();
    return {piece.data_ptr<std::int64_t>(), piece.data_ptr<std::int64_t>() + count};
  }

  std::shared_ptr<vene::models::StagedModel> model = golden_model(GetParam());
  torch::Tensor text =
      read_values(golden_folder(GetParam()) / "reference.safetensors").at("greedy");  // [1, prompt + 50]
  std::int64_t length = text.size(1);
  torch::NoGradGuard no_grad;
};

TEST_P(Greedy, DecodingGivesTheSameFiftyTokens) {
  ASSERT_EQ(length, kPrompt + 50);
  KeyValueCache cache;
  torch::Tensor logits = model->forward(columns(0, kPrompt), {.cache = &cache}).logits;
  std::vector<std::int64_t> written;
  while (static_cast<std::int64_t>(written.size()) < length - kPrompt) {
    Batch next;
    next.input_ids = logits.select(1, -1).argmax(-1, true);
    written.push_back(next.input_ids.item<std::int64_t>());
    logits = model->forward(next, {.cache = &cache}).logits;
  }
  EXPECT_EQ(written, ids(kPrompt, length - kPrompt));
}

TEST_P(Greedy, ACacheInPiecesOfAnyLengthEqualsOneForward) {
  const torch::Tensor whole = model->forward(columns(0, length)).logits;
  for (const std::int64_t piece : {1, 2, 7, 25}) {
    KeyValueCache cache;
    std::vector<torch::Tensor> parts;
    for (std::int64_t begin = 0; begin < length; begin += piece) {
      parts.push_back(model->forward(columns(begin, std::min(piece, length - begin)), {.cache = &cache}).logits);
    }
    EXPECT_LE(relative_error(torch::cat(parts, 1), whole), kTolerance) << piece;
  }
}

TEST_P(Greedy, LongRaggedRowsPaddedOnEitherSideEqualTheRowsAloneAlsoWhereTheyGoOn) {
  const std::vector<std::vector<std::int64_t>> rows = {ids(0, 9), ids(3, 25), ids(30, 14)};
  const std::vector<std::int64_t> tail = ids(20, 8);
  for (const bool left : {true, false}) {
    KeyValueCache cache;
    const Batch batch = padded(rows, left);
    std::vector<torch::Tensor> together = {model->forward(batch, {.cache = &cache}).logits};
    for (const std::int64_t token : tail) {
      Batch next;
      next.input_ids = torch::full({3, 1}, token, torch::kInt64);
      together.push_back(model->forward(next, {.cache = &cache}).logits);
    }
    const torch::Tensor all = torch::cat(together, 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<std::int64_t> alone = rows[i];
      alone.insert(alone.end(), tail.begin(), tail.end());
      const auto row = static_cast<std::int64_t>(i);
      const torch::Tensor real =
          torch::cat({batch.attention_mask[row], torch::ones(static_cast<std::int64_t>(tail.size()), torch::kInt64)})
              .to(torch::kBool);
      EXPECT_LE(relative_error(all[row].index({real}), model->forward(row_of(alone)).logits[0]), kTolerance)
          << "row " << i << ", left " << left;
    }
  }
}

TEST_P(Greedy, StagesEqualTheForwardOnALongText) {
  const torch::Tensor whole = model->forward(columns(0, length)).logits;
  for (std::int64_t cut = 0; cut <= model->layer_count(); ++cut) {
    const auto middle = model->run(model->begin(columns(0, length)), 0, cut);
    EXPECT_TRUE(torch::equal(model->finish(model->run(middle, cut, model->layer_count())).logits, whole)) << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, Greedy, testing::ValuesIn(folders_with_greedy_tokens()),
                         [](const auto& info) { return info.param; });

}  // namespace
