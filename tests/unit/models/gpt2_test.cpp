// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "helpers.h"
#include "vene/models/attention.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::ForwardOptions;
using vene::models::GPT2;
using vene::models::GPT2Options;
using vene::models::KeyValueCache;

const std::vector<std::vector<std::int64_t>> kRows = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};

torch::Tensor logits_of(GPT2& model, const Batch& batch) {
  return model.forward(batch).logits;
}

// Reads one site and leaves the rest alone.
torch::Tensor value_at(GPT2& model, const Batch& batch, const std::string& component, std::int64_t layer) {
  const vene::Site& site = model.sites().find(component, layer);
  torch::Tensor value;
  vene::HookTable table;
  table.on(site.id, site.phase, [&](const vene::HookContext& context) { value = context.value().clone(); });
  vene::HookScope scope(table);
  model.forward(batch);
  return value;
}

// Replaces a site's value by change(value) and returns the logits.
torch::Tensor logits_with(GPT2& model, const Batch& batch, const std::string& component, std::int64_t layer,
                          const std::function<torch::Tensor(torch::Tensor)>& change) {
  const vene::Site& site = model.sites().find(component, layer);
  vene::HookTable table;
  table.on(site.id, site.phase, [&](const vene::HookContext& context) { context.value() = change(context.value()); });
  vene::HookScope scope(table);
  return logits_of(model, batch);
}

TEST(Gpt2, RowsPaddedOnEitherSideEqualTheRowsAlone) {
  const auto model = small_gpt2();
  for (const bool left : {true, false}) {
    const Batch batch = padded(kRows, left);
    const torch::Tensor together = logits_of(*model, batch);
    EXPECT_FALSE(together.isnan().any().item<bool>());
    for (std::size_t i = 0; i < kRows.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i), size = static_cast<std::int64_t>(kRows[i].size());
      const torch::Tensor mine = together[row].narrow(0, left ? together.size(1) - size : 0, size);
      EXPECT_LE(relative_error(mine, logits_of(*model, row_of(kRows[i]))[0]), 1e-6) << "row " << i << ", left " << left;
    }
  }
}

TEST(Gpt2, PaddedTokensDoNotReachRealOnes) {
  const auto model = small_gpt2();
  for (const bool left : {true, false}) {
    Batch batch = padded(kRows, left);
    const torch::Tensor before = logits_of(*model, batch);
    batch.input_ids = batch.input_ids.where(batch.attention_mask.ne(0), torch::full_like(batch.input_ids, 33));
    const torch::Tensor real = batch.attention_mask.to(torch::kBool);
    EXPECT_TRUE(torch::equal(logits_of(*model, batch).index({real}), before.index({real})));
  }
}

TEST(Gpt2, AMaskOfOnesIsNoMask) {
  const auto model = small_gpt2();
  Batch batch = row_of(kRows[0]);
  const torch::Tensor plain = logits_of(*model, batch);
  batch.attention_mask = torch::ones_like(batch.input_ids);
  EXPECT_TRUE(torch::equal(logits_of(*model, batch), plain));
  EXPECT_FALSE(model->begin(batch).attention_mask.defined());
}

TEST(Gpt2, TheExplicitAttentionPathEqualsTheFusedOne) {
  const auto model = small_gpt2();
  for (const Batch& batch : {row_of(kRows[0]), padded(kRows, true), padded(kRows, false)}) {
    const torch::Tensor fused = logits_of(*model, batch);
    auto same = [](torch::Tensor value) { return value; };
    const torch::Tensor real = batch.attention_mask.defined() ? batch.attention_mask.to(torch::kBool)
                                                              : torch::ones_like(batch.input_ids, torch::kBool);
    for (const std::string component : {"attention_scores", "attention_pattern"}) {
      for (std::int64_t layer = 0; layer < 3; ++layer) {
        const torch::Tensor explicit_path = logits_with(*model, batch, component, layer, same);
        EXPECT_LE(relative_error(explicit_path.index({real}), fused.index({real})), 1e-6);
      }
    }
  }
}

TEST(Gpt2, PatternRowsSumToOneAndLookBackOnly) {
  const auto model = small_gpt2();
  const torch::Tensor pattern = value_at(*model, row_of(kRows[0]), "attention_pattern", 1);
  EXPECT_LE(relative_error(pattern.sum(-1), torch::ones({1, 4, 6})), 1e-6);
  EXPECT_TRUE(torch::equal(pattern.triu(1), torch::zeros_like(pattern)));
}

TEST(Gpt2, AWriteToThePatternIsUsed) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  const vene::Site& site = model->sites().find("attention_pattern", 2);
  const vene::Site& mixed = model->sites().find("attention_value_output", 2);
  const vene::Site& values = model->sites().find("value_output", 2);
  torch::Tensor after, value;
  vene::HookTable table;
  table.on(site.id, site.phase, [](const vene::HookContext& context) {
    context.value() = torch::eye(6).expand({1, 4, 6, 6});  // every position looks at itself alone
  });
  table.on(mixed.id, mixed.phase, [&](const vene::HookContext& context) { after = context.value().clone(); });
  table.on(values.id, values.phase, [&](const vene::HookContext& context) { value = context.value().clone(); });
  vene::HookScope scope(table);
  model->forward(batch);
  EXPECT_LE(relative_error(after, value), 1e-6);
}

TEST(Gpt2, AWriteToABlocksOutputIsWhatTheNextBlockReads) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  const torch::Tensor replacement = torch::randn({1, 6, 16});
  for (std::int64_t layer = 0; layer < 3; ++layer) {
    const vene::Site& site = model->sites().find("block_output", layer);
    const vene::Site& next =
        layer < 2 ? model->sites().find("block_input", layer + 1) : model->sites().find("transformer.ln_f.input", -1);
    torch::Tensor read;
    vene::HookTable table;
    table.on(site.id, site.phase, [&](const vene::HookContext& context) { context.value() = replacement; });
    table.on(next.id, next.phase, [&](const vene::HookContext& context) { read = context.value(); });
    vene::HookScope scope(table);
    model->forward(batch);
    ASSERT_TRUE(read.defined());
    EXPECT_TRUE(torch::equal(read, replacement)) << layer;
  }
}

TEST(Gpt2, AttentionAndMlpOutputsAreWhatTheResidualStreamGains) {
  const auto model = small_gpt2();
  const NamedValues values = values_at_named_sites(*model, row_of(kRows[0]));
  for (const std::string layer : {".0", ".1", ".2"}) {
    const torch::Tensor sum =
        values.at("block_input" + layer) + values.at("attention_output" + layer) + values.at("mlp_output" + layer);
    EXPECT_LE(relative_error(sum, values.at("block_output" + layer)), 1e-6);
  }
}

TEST(Gpt2, AWriteAtEveryNamedSiteChangesTheLogits) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  const torch::Tensor plain = logits_of(*model, batch);
  torch::manual_seed(3);
  for (const vene::Site& site : model->sites().all()) {
    if (site.component.empty()) continue;
    const torch::Tensor changed = logits_with(*model, batch, site.component, site.layer,
                                              [](torch::Tensor value) { return value + torch::randn_like(value); });
    EXPECT_GT(relative_error(changed, plain), 1e-3) << vene::site_text(site);
  }
}

TEST(Gpt2, HuggingFacePathsNameSitesToo) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  const auto through = [&](const std::string& path) { return value_at(*model, batch, path, -1); };
  EXPECT_TRUE(torch::equal(through("transformer.h[1].mlp.act.output"), value_at(*model, batch, "mlp_activation", 1)));
  EXPECT_TRUE(torch::equal(through("transformer.h.2.output"), value_at(*model, batch, "block_output", 2)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.attn.resid_dropout.output"),
                           value_at(*model, batch, "attention_output", 0)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.attn.c_attn.output").chunk(3, -1)[2],
                           value_at(*model, batch, "value_output", 0)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.mlp.c_fc.input"), value_at(*model, batch, "mlp_input", 0)));
  EXPECT_TRUE(torch::equal(through("lm_head.output"), value_at(*model, batch, "logits", -1)));
  for (const char* path : {"transformer.wte.output", "transformer.wpe.input", "transformer.h.0.ln_1.output",
                           "transformer.h.0.ln_2.input", "transformer.h.0.mlp.dropout.output", "lm_head.input"}) {
    EXPECT_NE(model->sites().try_find(path, -1), nullptr) << path;
  }
}

TEST(Gpt2, CachedStepsEqualOneForward) {
  const auto model = small_gpt2();
  const Batch whole = row_of(kRows[0]);
  const torch::Tensor expected = logits_of(*model, whole);
  for (const std::vector<std::int64_t>& steps :
       {std::vector<std::int64_t>{1, 1, 1, 1, 1, 1}, {4, 1, 1}, {2, 3, 1}, {6}}) {
    KeyValueCache cache;
    std::vector<torch::Tensor> parts;
    std::int64_t begin = 0;
    for (const std::int64_t step : steps) {
      Batch piece;
      piece.input_ids = whole.input_ids.narrow(1, begin, step);
      parts.push_back(model->forward(piece, {.cache = &cache}).logits);
      begin += step;
      EXPECT_EQ(cache.length(), begin);
    }
    EXPECT_LE(relative_error(torch::cat(parts, 1), expected), 1e-6);
  }
}

TEST(Gpt2, CachedStepsAfterAPaddedPromptEqualTheRowsAlone) {
  const auto model = small_gpt2();
  const std::vector<std::int64_t> tail = {7, 40, 21};
  for (const bool left : {true, false}) {
    KeyValueCache cache;
    model->forward(padded(kRows, left), {.cache = &cache});
    for (std::size_t step = 0; step < tail.size(); ++step) {
      Batch next;
      next.input_ids = torch::full({3, 1}, tail[step], torch::kInt64);
      // The explicit path of the middle layer must agree on the way.
      torch::Tensor logits = step == 1 ? values_at_named_sites(*model, next, {.cache = &cache}).at("logits")
                                       : model->forward(next, {.cache = &cache}).logits;
      for (std::size_t i = 0; i < kRows.size(); ++i) {
        std::vector<std::int64_t> ids = kRows[i];
        ids.insert(ids.end(), tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(step) + 1);
        const torch::Tensor alone = logits_of(*model, row_of(ids))[0][-1];
        EXPECT_LE(relative_error(logits[static_cast<std::int64_t>(i)][0], alone), 2e-6)
            << "row " << i << " step " << step;
      }
    }
  }
}

TEST(Gpt2, RowsOfACacheContinueEachTheirOwnText) {
  const auto model = small_gpt2();
  KeyValueCache cache;
  model->forward(padded(kRows, true), {.cache = &cache});
  KeyValueCache picked = cache.rows(torch::tensor({2, 0}, torch::kInt64));
  Batch next;
  next.input_ids = torch::tensor({{4}, {6}}, torch::kInt64);
  const torch::Tensor logits = model->forward(next, {.cache = &picked}).logits;
  EXPECT_LE(relative_error(logits[0][0], logits_of(*model, row_of({50, 50, 1, 12, 4}))[0][-1]), 2e-6);
  EXPECT_LE(relative_error(logits[1][0], logits_of(*model, row_of({5, 9, 31, 2, 44, 17, 6}))[0][-1]), 2e-6);
  EXPECT_EQ(cache.length(), 6);
}

TEST(Gpt2, EmbeddingsCanStandInForTokens) {
  const auto model = small_gpt2();
  Batch by_ids = padded(kRows, true), by_vectors;
  by_vectors.inputs_embeds = model->named_parameters()["transformer.wte.weight"]
                                 .detach()
                                 .index_select(0, by_ids.input_ids.view(-1))
                                 .view({3, 6, 16});
  by_vectors.attention_mask = by_ids.attention_mask;
  EXPECT_TRUE(torch::equal(logits_of(*model, by_vectors), logits_of(*model, by_ids)));
}

TEST(Gpt2, GradientsReachTheEmbeddingsThroughBothAttentionPaths) {
  const auto model = small_gpt2();
  std::vector<torch::Tensor> gradients;
  for (const bool watched : {false, true}) {
    Batch batch;
    torch::manual_seed(5);
    batch.inputs_embeds = torch::randn({1, 5, 16}).requires_grad_();
    auto same = [](torch::Tensor value) { return value; };
    const torch::Tensor logits =
        watched ? logits_with(*model, batch, "attention_scores", 1, same) : logits_of(*model, batch);
    logits.square().sum().backward();
    gradients.push_back(batch.inputs_embeds.grad());
  }
  EXPECT_GT(gradients[0].abs().max().item<double>(), 0.0);
  EXPECT_LE(relative_error(gradients[1], gradients[0]), 1e-5);
}

TEST(Gpt2, ATiedHeadHasNoParameterOfItsOwn) {
  const auto tied = small_gpt2();
  EXPECT_EQ(tied->named_parameters().find("lm_head.weight"), nullptr);
  GPT2Options options = tied->options();
  options.tie_word_embeddings = false;
  const GPT2 untied(options);
  ASSERT_NE(untied.named_parameters().find("lm_head.weight"), nullptr);
  EXPECT_EQ(untied.named_parameters()["lm_head.weight"].sizes(), (std::vector<std::int64_t>{60, 16}));
}

TEST(Gpt2, RefusesBatchesThatItCannotReadAndNamesTheOffender) {
  const auto model = small_gpt2();
  const auto refused = [&](const Batch& batch) { return model_error([&] { model->forward(batch); }); };
  Batch batch = padded(kRows, false);
  batch.input_ids[1][2] = 60;
  EXPECT_THAT(refused(batch), HasSubstr("input_ids row 1 position 2: token id 60 is outside the vocabulary of 60"));
  batch.input_ids[1][2] = -1;
  EXPECT_THAT(refused(batch), HasSubstr("token id -1"));
  EXPECT_THAT(refused(row_of(std::vector<std::int64_t>(25, 1))), HasSubstr("25 positions do not fit the model's 24"));
  batch = padded(kRows, false);
  batch.attention_mask = torch::ones({3, 7});
  EXPECT_THAT(refused(batch), HasSubstr("attention_mask: expected [3, 6] as input_ids, got [3, 7]"));
  EXPECT_THAT(refused({}), HasSubstr("needs input_ids or inputs_embeds, got neither"));
  batch = row_of({1, 2});
  batch.inputs_embeds = torch::zeros({1, 2, 16});
  EXPECT_THAT(refused(batch), HasSubstr("got both"));
  batch = {};
  batch.input_ids = torch::zeros({0, 3}, torch::kInt64);
  EXPECT_THAT(refused(batch), HasSubstr("the batch is empty, its shape is [0, 3]"));
  batch.input_ids = torch::zeros({3}, torch::kInt64);
  EXPECT_THAT(refused(batch), HasSubstr("input_ids: expected [batch, pos], got [3]"));
  batch.input_ids = torch::zeros({1, 3});
  EXPECT_THAT(refused(batch), HasSubstr("expected whole numbers (int64), got Float"));
  batch = {};
  batch.inputs_embeds = torch::zeros({1, 2, 15});
  EXPECT_THAT(refused(batch), HasSubstr("inputs_embeds: expected [batch, pos, 16], got [1, 2, 15]"));
}

TEST(Gpt2, RefusesToOutgrowItsContextOrItsRowsThroughTheCache) {
  const auto model = small_gpt2();
  KeyValueCache cache;
  model->forward(row_of(std::vector<std::int64_t>(22, 1)), {.cache = &cache});
  EXPECT_THAT(model_error([&] {
                model->forward(row_of({1, 2, 3}), {.cache = &cache});
              }),
              HasSubstr("3 positions after 22 in the cache do not fit the model's 24"));
  EXPECT_THAT(model_error([&] { model->forward(padded(kRows, true), {.cache = &cache}); }), HasSubstr("do not fit"));
  cache = {};
  model->forward(padded(kRows, true), {.cache = &cache});
  EXPECT_THAT(model_error([&] { model->forward(row_of({1}), {.cache = &cache}); }),
              HasSubstr("the cache holds 3 rows, the batch has 1"));
}

TEST(Gpt2, RefusesSizesThatMakeNoModel) {
  GPT2Options options;
  options.n_embd = 18;
  options.n_head = 4;
  EXPECT_THAT(model_error([&] { GPT2 model(options); }), HasSubstr("n_embd 18 is not a multiple of n_head 4"));
  options.n_head = 0;
  EXPECT_THAT(model_error([&] { GPT2 model(options); }), HasSubstr("n_head: expected a positive number, got 0"));
  options = {.vocab_size = 5, .n_positions = 4, .n_embd = 4, .n_layer = 1, .n_head = 1};
  options.activation_function = "gelu_nwe";
  EXPECT_THAT(model_error([&] { GPT2 model(options); }),
              testing::AllOf(HasSubstr("activation 'gelu_nwe' is not built in"), HasSubstr("gelu_new")));
}

}  // namespace
