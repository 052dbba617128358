// SPDX-License-Identifier: Apache-2.0
// What holds for every language model, on every folder of tests/golden/models: padding, batches, both attention paths,
// sites, gradients, refusals.
#include <gmock/gmock.h>

#include "helpers.h"
#include "vene/models/decoder.h"
#include "vene/models/load.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;

class LanguageModel : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<vene::models::StagedModel> model = golden_model(GetParam());
  const std::vector<std::vector<std::int64_t>>& rows = three_rows();
  std::int64_t layers = model->layer_count(), width = model->hidden_size();

  torch::Tensor run(const Batch& batch) { return output_of(*model, batch); }
  static torch::Tensor real(const Batch& batch) {
    return batch.attention_mask.defined() ? batch.attention_mask.to(torch::kBool)
                                          : torch::ones_like(batch.input_ids, torch::kBool);
  }
};

TEST_P(LanguageModel, RowsPaddedOnEitherSideEqualTheRowsAlone) {
  for (const bool left : {true, false}) {
    const torch::Tensor together = run(padded(rows, left));
    EXPECT_FALSE(together.isnan().any().item<bool>());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i), size = static_cast<std::int64_t>(rows[i].size());
      const torch::Tensor mine = together[row].narrow(0, left ? together.size(1) - size : 0, size);
      EXPECT_LE(relative_error(mine, run(row_of(rows[i]))[0]), 2e-6) << "row " << i << ", left " << left;
    }
  }
}

TEST_P(LanguageModel, ABatchEqualsItsRowsOneByOne) {
  Batch batch;
  batch.input_ids = torch::tensor({{5, 9, 31, 2}, {8, 3, 27, 27}, {50, 50, 1, 12}}, torch::kInt64);
  const torch::Tensor together = run(batch);
  for (std::int64_t row = 0; row < 3; ++row) {
    Batch alone;
    alone.input_ids = batch.input_ids.narrow(0, row, 1);
    EXPECT_LE(relative_error(together[row], run(alone)[0]), 2e-6) << row;
  }
}

TEST_P(LanguageModel, PaddedTokensDoNotReachRealOnes) {
  for (const bool left : {true, false}) {
    Batch batch = padded(rows, left);
    const torch::Tensor before = run(batch);
    batch.input_ids = batch.input_ids.where(batch.attention_mask.ne(0), torch::full_like(batch.input_ids, 33));
    EXPECT_TRUE(torch::equal(run(batch).index({real(batch)}), before.index({real(batch)})));
  }
}

TEST_P(LanguageModel, AMaskOfOnesIsNoMask) {
  Batch batch = row_of(rows[0]);
  const torch::Tensor plain = run(batch);
  batch.attention_mask = torch::ones_like(batch.input_ids);
  EXPECT_TRUE(torch::equal(run(batch), plain));
  EXPECT_FALSE(model->begin(batch).attention_mask.defined());
}

TEST_P(LanguageModel, TheExplicitAttentionPathEqualsTheFusedOne) {
  for (const Batch& batch : {row_of(rows[0]), padded(rows, true), padded(rows, false)}) {
    const torch::Tensor fused = run(batch);
    for (const std::string component : {"attention_scores", "attention_pattern"}) {
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        const torch::Tensor explicit_path =
            output_with(*model, batch, component, layer, [](torch::Tensor value) { return value; });
        EXPECT_LE(relative_error(explicit_path.index({real(batch)}), fused.index({real(batch)})), 2e-6)
            << component << " " << layer;
      }
    }
  }
}

TEST_P(LanguageModel, PatternRowsSumToOneAndLookBackOnlyUnlessTheModelReadsAhead) {
  const torch::Tensor pattern = value_at(*model, row_of(rows[0]), "attention_pattern", 1);
  EXPECT_LE(relative_error(pattern.sum(-1), torch::ones({1, pattern.size(1), 6})), 1e-6);
  const torch::Tensor ahead = pattern.triu(1);
  if (model->reads_ahead()) {
    EXPECT_EQ(ahead.count_nonzero().item<std::int64_t>(), pattern.size(1) * 6 * 5 / 2);
  } else {
    EXPECT_TRUE(torch::equal(ahead, torch::zeros_like(pattern)));
  }
}

TEST_P(LanguageModel, AWriteToThePatternIsUsed) {
  const std::int64_t layer = layers - 1;
  const auto& site = model->sites().find("attention_pattern", layer);
  const auto& mixed = model->sites().find("attention_value_output", layer);
  const auto& values = model->sites().find("head_value_output", layer);
  torch::Tensor after, value;
  vene::HookTable table;
  table.on(site.id, site.phase, [](const vene::HookContext& context) {
    context.value() = torch::eye(6).expand(context.value().sizes());  // every position looks at itself alone
  });
  table.on(mixed.id, mixed.phase, [&](const vene::HookContext& context) { after = context.value().clone(); });
  table.on(values.id, values.phase, [&](const vene::HookContext& context) { value = context.value().clone(); });
  vene::HookScope scope(table);
  model->forward(row_of(rows[0]));
  // Heads that share a value each read it.
  const std::int64_t shared = site.heads / values.heads;
  if (GetParam() == "olmo_clipped") value = value.clamp(-0.75, 0.75);  // OLMo cuts values after this site
  value = value.view({1, 6, values.heads, values.width}).repeat_interleave(shared, 2).view({1, 6, -1});
  EXPECT_LE(relative_error(after, value), 1e-6);
}

TEST_P(LanguageModel, AWriteToABlocksOutputIsWhatTheNextBlockReads) {
  torch::manual_seed(2);
  const torch::Tensor replacement = torch::randn({1, 6, width});
  for (std::int64_t layer = 0; layer + 1 < layers; ++layer) {
    const auto& site = model->sites().find("block_output", layer);
    const auto& next = model->sites().find("block_input", layer + 1);
    torch::Tensor read;
    vene::HookTable table;
    table.on(site.id, site.phase, [&](const vene::HookContext& context) { context.value() = replacement; });
    table.on(next.id, next.phase, [&](const vene::HookContext& context) { read = context.value(); });
    vene::HookScope scope(table);
    model->forward(row_of(rows[0]));
    ASSERT_TRUE(read.defined());
    EXPECT_TRUE(torch::equal(read, replacement)) << layer;
  }
}

TEST_P(LanguageModel, AWriteAtEveryNamedSiteChangesTheOutput) {
  const Batch batch = row_of(rows[0]);
  const torch::Tensor plain = run(batch);
  torch::manual_seed(3);
  for (const vene::Site& site : model->sites().all()) {
    if (site.component.empty()) continue;
    const torch::Tensor changed = output_with(*model, batch, site.component, site.layer,
                                              [](torch::Tensor value) { return value + torch::randn_like(value); });
    EXPECT_GT(relative_error(changed, plain), 1e-3) << vene::site_text(site);
  }
}

TEST_P(LanguageModel, EmbeddingsCanStandInForTokens) {
  const Batch by_ids = padded(rows, true);
  // What the embedding layer gives, scaled where the architecture scales it; of ESM, all that embeddings do.
  Batch by_vectors;
  for (const char* path : {"bert.embeddings.word_embeddings.output", "esm.embeddings.output", "transformer.wte.output",
                           "gpt_neox.embed_in.output", "model.embed_tokens.output"}) {
    if (model->sites().try_find(path, -1) != nullptr) by_vectors.inputs_embeds = value_at(*model, by_ids, path, -1);
  }
  ASSERT_TRUE(by_vectors.inputs_embeds.defined());
  EXPECT_EQ(model->token_embedding().sizes(), (std::vector<std::int64_t>{model->vocabulary_size(), width}));
  by_vectors.attention_mask = by_ids.attention_mask;
  EXPECT_TRUE(torch::equal(run(by_vectors), run(by_ids)));
}

TEST_P(LanguageModel, GradientsReachTheEmbeddingsThroughBothAttentionPaths) {
  std::vector<torch::Tensor> gradients;
  for (const bool watched : {false, true}) {
    Batch batch;
    torch::manual_seed(5);
    batch.inputs_embeds = torch::randn({1, 5, width}).requires_grad_();
    const torch::Tensor output =
        watched ? output_with(*model, batch, "attention_scores", 1, [](torch::Tensor value) { return value; })
                : run(batch);
    output.square().sum().backward();
    gradients.push_back(batch.inputs_embeds.grad());
  }
  EXPECT_GT(gradients[0].abs().max().item<double>(), 0.0);
  EXPECT_LE(relative_error(gradients[1], gradients[0]), 1e-5);
}

TEST_P(LanguageModel, RefusesBatchesThatItCannotReadAndNamesTheOffender) {
  const auto refused = [&](const Batch& batch) { return model_error([&] { model->forward(batch); }); };
  const std::string vocabulary = std::to_string(model->vocabulary_size()),
                    context = std::to_string(model->context_length()), wide = std::to_string(width);
  Batch batch = padded(rows, false);
  batch.input_ids[1][2] = model->vocabulary_size();
  EXPECT_THAT(refused(batch), HasSubstr("input_ids row 1 position 2: token id " + vocabulary +
                                        " is outside the vocabulary of " + vocabulary));
  batch.input_ids[1][2] = -1;
  EXPECT_THAT(refused(batch), HasSubstr("token id -1"));
  const std::int64_t many = model->context_length() + 1;
  const Batch long_row = row_of(std::vector<std::int64_t>(static_cast<std::size_t>(many), 1));
  if (model->bound_to_context()) {
    EXPECT_THAT(refused(long_row), HasSubstr(std::to_string(many) + " positions do not fit the model's " + context));
  } else {
    std::vector<std::string> warnings;
    dynamic_cast<vene::models::Decoder&>(*model).on_warning(
        [&](const std::string& warning) { warnings.push_back(warning); });
    for (int i = 0; i < 2; ++i) EXPECT_EQ(model->forward(long_row).primary().size(1), many);
    EXPECT_THAT(warnings,
                testing::ElementsAre(HasSubstr(std::to_string(many) + " positions are more than the model's " +
                                               context + " (max_position_embeddings)")));
  }
  batch = padded(rows, false);
  batch.attention_mask = torch::ones({3, 7});
  EXPECT_THAT(refused(batch), HasSubstr("attention_mask: expected [3, 6] as input_ids, got [3, 7]"));
  EXPECT_THAT(refused({}), HasSubstr("needs input_ids or inputs_embeds, got neither"));
  batch = row_of({1, 2});
  batch.inputs_embeds = torch::zeros({1, 2, width});
  EXPECT_THAT(refused(batch), HasSubstr("got both"));
  batch = {};
  batch.input_ids = torch::zeros({0, 3}, torch::kInt64);
  EXPECT_THAT(refused(batch), HasSubstr("the batch is empty, its shape is [0, 3]"));
  batch.input_ids = torch::zeros({3}, torch::kInt64);
  EXPECT_THAT(refused(batch), HasSubstr("input_ids: expected [batch, pos], got [3]"));
  batch.input_ids = torch::zeros({1, 3});
  EXPECT_THAT(refused(batch), HasSubstr("expected whole numbers (int64), got Float"));
  batch = {};
  batch.inputs_embeds = torch::zeros({1, 2, width - 1});
  EXPECT_THAT(refused(batch), HasSubstr("inputs_embeds: expected [batch, pos, " + wide + "], got [1, 2, " +
                                        std::to_string(width - 1) + "]"));
}

INSTANTIATE_TEST_SUITE_P(Folders, LanguageModel, testing::ValuesIn(golden_language_models()),
                         [](const auto& info) { return info.param; });

}  // namespace
