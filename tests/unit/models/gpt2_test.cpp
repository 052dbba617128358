// SPDX-License-Identifier: Apache-2.0
// What GPT-2 alone has; language_model_test.cpp has the rest.
#include <gmock/gmock.h>

#include "helpers.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::GPT2;
using vene::models::GPT2Options;

TEST(Gpt2, AttentionAndMlpOutputsAreWhatTheResidualStreamGains) {
  const auto model = small_gpt2();
  const NamedValues values = values_at_named_sites(*model, row_of(three_rows()[0]));
  for (const std::string layer : {".0", ".1", ".2"}) {
    const torch::Tensor sum =
        values.at("block_input" + layer) + values.at("attention_output" + layer) + values.at("mlp_output" + layer);
    EXPECT_LE(relative_error(sum, values.at("block_output" + layer)), 1e-6);
  }
}

TEST(Gpt2, HuggingFacePathsNameSitesToo) {
  const auto model = small_gpt2();
  const Batch batch = row_of(three_rows()[0]);
  const auto through = [&](const std::string& path) { return value_at(*model, batch, path, -1); };
  EXPECT_TRUE(torch::equal(through("transformer.h[1].mlp.act.output"), value_at(*model, batch, "mlp_activation", 1)));
  EXPECT_TRUE(torch::equal(through("transformer.h.2.output"), value_at(*model, batch, "block_output", 2)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.attn.resid_dropout.output"),
                           value_at(*model, batch, "attention_output", 0)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.attn.c_attn.output").chunk(3, -1)[2],
                           value_at(*model, batch, "value_output", 0)));
  EXPECT_TRUE(torch::equal(through("transformer.h.0.mlp.c_fc.input"), value_at(*model, batch, "mlp_input", 0)));
  EXPECT_TRUE(torch::equal(through("transformer.ln_f.input"), value_at(*model, batch, "block_output", 2)));
  EXPECT_TRUE(torch::equal(through("lm_head.output"), value_at(*model, batch, "logits", -1)));
  for (const char* path : {"transformer.wte.output", "transformer.wpe.input", "transformer.h.0.ln_1.output",
                           "transformer.h.0.ln_2.input", "transformer.h.0.mlp.dropout.output", "lm_head.input"}) {
    EXPECT_NE(model->sites().try_find(path, -1), nullptr) << path;
  }
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
