// SPDX-License-Identifier: Apache-2.0
// What Llama alone has; language_model_test.cpp has the rest.
#include "vene/models/llama.h"

#include <gmock/gmock.h>

#include "helpers.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Llama;
using vene::models::LlamaOptions;

LlamaOptions small() {
  LlamaOptions options;
  options.vocab_size = 60;
  options.hidden_size = 16;
  options.intermediate_size = 24;
  options.num_hidden_layers = 2;
  options.num_attention_heads = 4;
  options.num_key_value_heads = 2;
  options.max_position_embeddings = 24;
  return options;
}

TEST(Llama, QueryHeadsAreAsManyAsAttentionHeadsAndKeyHeadsAsTheirGroups) {
  const Llama model(small());
  EXPECT_EQ(model.sites().find("head_query_output", 0).heads, 4);
  EXPECT_EQ(model.sites().find("head_attention_value_output", 0).heads, 4);
  EXPECT_EQ(model.sites().find("head_key_output", 1).heads, 2);
  EXPECT_EQ(model.sites().find("head_value_output", 1).heads, 2);
  EXPECT_EQ(model.sites().find("head_value_output", 1).width, 4);
  EXPECT_EQ(model.sites().find("value_output", 1).width, 8);
}

TEST(Llama, HuggingFacePathsNameSitesToo) {
  const auto model = golden_model("llama_mha");
  const auto batch = row_of(three_rows()[0]);
  const auto through = [&](const std::string& path) { return value_at(*model, batch, path, -1); };
  EXPECT_TRUE(torch::equal(through("model.layers[1].mlp.down_proj.output"), value_at(*model, batch, "mlp_output", 1)));
  EXPECT_TRUE(
      torch::equal(through("model.layers.0.self_attn.o_proj.output"), value_at(*model, batch, "attention_output", 0)));
  EXPECT_TRUE(
      torch::equal(through("model.layers.0.input_layernorm.output"), value_at(*model, batch, "attention_input", 0)));
  EXPECT_TRUE(torch::equal(through("model.norm.input"), value_at(*model, batch, "block_output", 1)));
  for (const char* path : {"model.embed_tokens.output", "model.layers.0.post_attention_layernorm.input",
                           "model.layers.1.mlp.up_proj.output", "lm_head.input"}) {
    EXPECT_NE(model->sites().try_find(path, -1), nullptr) << path;
  }
}

TEST(Llama, PositionsTurnQueriesSoThatOrderMatters) {
  const auto model = golden_model("llama_mha");
  const torch::Tensor forth = output_of(*model, row_of({7, 9, 11}))[0][-1],
                      back = output_of(*model, row_of({9, 7, 11}))[0][-1];
  EXPECT_GT(relative_error(forth, back), 1e-3);
}

TEST(Llama, HooksOnABlockSeeTheAnglesOfItsPositionsAndMayChangeThem) {
  const auto model = golden_model("llama_mha");
  const auto batch = row_of({7, 9, 11});
  const torch::Tensor turned = output_of(*model, batch)[0][-1];
  vene::HookTable table;
  const vene::Site& site = model->sites().find("block_input", 0);
  table.on(site.id, site.phase, [](const vene::HookContext& context) {
    ASSERT_EQ(context.inputs.size(), 3U) << "hidden state, cosines, sines";
    EXPECT_EQ(context.inputs[1]->size(2), 3) << "one a position";
    *context.inputs[1] = torch::ones_like(*context.inputs[1]);
    *context.inputs[2] = torch::zeros_like(*context.inputs[2]);
  });
  const vene::HookScope scope(table);
  EXPECT_GT(relative_error(output_of(*model, batch)[0][-1], turned), 1e-3);
}

TEST(Llama, RefusesSizesThatMakeNoModel) {
  const auto refused = [](const std::function<void(LlamaOptions&)>& change) {
    LlamaOptions options = small();
    change(options);
    return model_error([&] { Llama model(options); });
  };
  EXPECT_THAT(refused([](LlamaOptions& o) { o.num_key_value_heads = 3; }),
              HasSubstr("num_attention_heads 4 is not a multiple of num_key_value_heads 3"));
  EXPECT_THAT(refused([](LlamaOptions& o) { o.hidden_size = 18; }),
              HasSubstr("hidden_size 18 is not a multiple of num_attention_heads 4"));
  EXPECT_THAT(refused([](LlamaOptions& o) { o.head_dim = 5; }),
              HasSubstr("head_dim 5 is odd, and rotary positions turn pairs"));
  EXPECT_THAT(refused([](LlamaOptions& o) { o.hidden_size = -16; }),
              HasSubstr("hidden_size: expected a positive number, got -16"));
  EXPECT_THAT(refused([](LlamaOptions& o) { o.hidden_act = "sillu"; }),
              HasSubstr("activation 'sillu' is not built in; did you mean 'silu'"));
}

}  // namespace
