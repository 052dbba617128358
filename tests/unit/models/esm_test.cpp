// SPDX-License-Identifier: Apache-2.0
// What is ESM's own: how it counts positions and scales embeddings, the spellings of its checkpoints, and what it
// refuses.
#include "vene/models/esm.h"

#include <gmock/gmock.h>

#include "checkpoint.h"

namespace {

using namespace vene_test;
using testing::ElementsAre;
using testing::HasSubstr;
using vene::models::Batch;
using Json = nlohmann::json;

constexpr std::int64_t kPad = 1, kMask = 27;  // of the golden folders

class EsmTest : public ChangedCheckpointTest {
 protected:
  std::string refused(const std::string& field, const Json& value, const std::string& name = "esm_absolute") {
    return ChangedCheckpointTest::refused(name, field, value);
  }
  static torch::Tensor embedded(const Batch& batch, const std::string& name) {
    return value_at(*golden_model(name), batch, "embedding", -1);
  }
  // As checkpoints have them, one a layer.
  static void put_frequencies(NamedValues& tensors, const torch::Tensor& frequencies) {
    std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with("inv_freq"); });
    for (const char* layer : {"0", "1"})
      tensors["esm.encoder.layer." + std::string(layer) + ".attention.self.rotary_embeddings.inv_freq"] =
          frequencies.clone();
  }
};

TEST_F(EsmTest, EveryPositionSeesTheWholeTextAndNothingIsCached) {
  const auto model = golden_model("esm_rotary");
  EXPECT_TRUE(model->reads_ahead());
  Batch other = row_of(three_rows()[0]);
  other.input_ids[0][5] = 40;
  const torch::Tensor difference = (output_of(*model, other) - output_of(*model, batch_)).abs().amax({0, 2});
  EXPECT_GT(difference.min().item<double>(), 1e-3);
  vene::models::KeyValueCache cache;
  EXPECT_THAT(model_error([&] { model->forward(batch_, {.cache = &cache}); }),
              HasSubstr("esm: every position looks at the whole text, so there is no key-value cache"));
}

TEST_F(EsmTest, AbsolutePositionsStartAfterThePaddingTokenAndPassItOver) {
  batch_ = row_of({5, kPad, 9, 31});
  const auto parameters = golden_model("esm_headless")->named_parameters();
  const torch::Tensor expected =
      parameters["esm.embeddings.word_embeddings.weight"].index({batch_.input_ids}) +
      parameters["esm.embeddings.position_embeddings.weight"].index({torch::tensor({{2, 1, 3, 4}}, torch::kInt64)});
  EXPECT_TRUE(torch::equal(embedded(batch_, "esm_headless"), expected));
}

TEST_F(EsmTest, AbsolutePositionsTakeTheirStartOffTheContext) {
  const auto model = golden_model("esm_absolute");
  EXPECT_EQ(model->context_length(), 22);
  EXPECT_EQ(golden_model("esm_rotary")->context_length(), 24);
  EXPECT_EQ(output_of(*model, row_of(std::vector<std::int64_t>(22, 5))).size(1), 22);
}

TEST_F(EsmTest, MaskTokensAreZerosAndTheRestIsScaledByTheShareOfThem) {
  // Of the five tokens that are not padding two are masked; 12 of 100 were in training.
  batch_ = row_of({5, kMask, 9, kMask, 31, kMask});
  batch_.attention_mask = torch::tensor({{1, 1, 1, 1, 1, 0}});
  const torch::Tensor words =
      golden_model("esm_rotary")->named_parameters()["esm.embeddings.word_embeddings.weight"].index({batch_.input_ids});
  torch::Tensor expected = words * (0.88 / 0.6);
  for (const std::int64_t position : {1, 3, 5}) expected.select(1, position).zero_();
  EXPECT_LE(relative_error(embedded(batch_, "esm_rotary"), expected), 1e-6);
  // Without token_dropout a mask token is like any other.
  batch_.attention_mask = torch::Tensor();
  const torch::Tensor plain =
      golden_model("esm_untied")->named_parameters()["esm.embeddings.word_embeddings.weight"].index({batch_.input_ids});
  EXPECT_TRUE(torch::equal(embedded(batch_, "esm_untied"), plain));
}

TEST_F(EsmTest, RefusesARowOfMaskTokensOnly) {
  Batch batch = padded({{5, 9, 31}, {kMask, kMask}}, /*left=*/true);
  EXPECT_THAT(model_error([&] { golden_model("esm_rotary")->forward(batch); }),
              HasSubstr("input_ids row 1: all tokens are the mask token 27, expected another among them (token_dropout "
                        "scales by their share)"));
  EXPECT_NO_THROW(golden_model("esm_untied")->forward(batch));
  // A row that is padding throughout means nothing, and its values are numbers all the same.
  batch.attention_mask[1].zero_();
  EXPECT_FALSE(output_of(*golden_model("esm_rotary"), batch).isnan().any().item<bool>());
}

TEST_F(EsmTest, WritesToWhatAttentionReadsLeaveTheStreamBesideItAlone) {
  const auto model = golden_model("esm_rotary");
  const auto& read = model->sites().find("attention_input", 0);
  const auto& added = model->sites().find("attention_output", 0);
  const auto& next = model->sites().find("mlp_input", 0);
  torch::Tensor half, middle;
  vene::HookTable table;
  table.on(read.id, read.phase,
           [](const vene::HookContext& context) { context.value() = torch::zeros_like(context.value()); });
  table.on(added.id, added.phase, [&](const vene::HookContext& context) { half = context.value().clone(); });
  table.on(next.id, next.phase, [&](const vene::HookContext& context) { middle = context.value().clone(); });
  const torch::Tensor stream = value_at(*model, batch_, "block_input", 0);
  const vene::HookScope scope(table);
  model->forward(batch_);
  const auto parameters = model->named_parameters();
  const std::string norm = "esm.encoder.layer.0.LayerNorm.";
  EXPECT_LE(relative_error(middle, torch::layer_norm(half + stream, {16}, parameters[norm + "weight"],
                                                     parameters[norm + "bias"], 1e-12)),
            1e-6);
}

TEST_F(EsmTest, TakesTheRotaryFrequenciesOfTheCheckpoint) {
  const torch::Tensor slow = 1.0 / torch::pow(50.0, torch::arange(0, 8, 2).to(torch::kFloat32) / 8.0);
  const torch::Tensor expected = output_of(*golden_model("esm_untied"), batch_);  // whose rope_theta is 50
  const auto silent = changed("esm_untied", [](Json&, NamedValues& tensors) {
    std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with("inv_freq"); });
  });
  EXPECT_TRUE(torch::equal(output_of(*silent, batch_), expected));
  const auto other = changed("esm_untied", [](Json& config, NamedValues&) { config.erase("rope_theta"); });
  EXPECT_TRUE(torch::equal(output_of(*other, batch_), expected)) << "the file's frequencies, whatever rope_theta says";
  const auto quick = changed("esm_untied", [&](Json&, NamedValues& tensors) { put_frequencies(tensors, slow * 2); });
  EXPECT_GT(relative_error(output_of(*quick, batch_), expected), 1e-3);
  // They stay as they are when the weights are rounded.
  quick->to(torch::kBFloat16);
  quick->to(torch::kFloat32);
  const auto rounded = changed("esm_untied", [&](Json&, NamedValues& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kBFloat16).to(torch::kFloat32);
    put_frequencies(tensors, slow * 2);
  });
  EXPECT_TRUE(torch::equal(output_of(*quick, batch_), output_of(*rounded, batch_)));
  const auto back = changed("esm_untied", [&](Json&, NamedValues& tensors) { put_frequencies(tensors, slow); });
  EXPECT_LE(relative_error(output_of(*back, batch_), expected), 1e-6);
  EXPECT_THAT(model_error([&] {
                changed("esm_untied", [&](Json&, NamedValues& tensors) { put_frequencies(tensors, torch::ones({3})); });
              }),
              HasSubstr(": rotary frequencies: expected [4] floating-point values, got [3] of type Float"));
  EXPECT_THAT(model_error([&] {
                dynamic_cast<vene::models::Esm&>(*golden_model("esm_absolute")).set_rotary_frequencies(slow);
              }),
              HasSubstr("rotary frequencies: this model's positions are absolute"));
}

TEST_F(EsmTest, PassesOverWhatCheckpointsHoldBesides) {
  const auto model = changed("esm_untied", [](Json&, NamedValues& tensors) {
    tensors["esm.embeddings.position_ids"] = torch::arange(24).unsqueeze(0);
    tensors["esm.embeddings.position_embeddings.weight"] =
        torch::zeros({24, 16});  // which rotary positions leave unused
    tensors["esm.pooler.dense.weight"] = torch::zeros({16, 16});
    tensors["esm.pooler.dense.bias"] = torch::zeros({16});
    NamedValues plain;
    for (const auto& [name, tensor] : tensors) {
      std::string spelt = name;
      for (const auto& [there, here] :
           {std::pair("LayerNorm.gamma", "LayerNorm.weight"), std::pair("LayerNorm.beta", "LayerNorm.bias")}) {
        if (spelt.ends_with(there)) spelt = spelt.substr(0, spelt.size() - std::string(there).size()) + here;
      }
      plain[spelt] = tensor;
    }
    tensors = plain;
  });
  EXPECT_TRUE(torch::equal(output_of(*model, batch_), output_of(*golden_model("esm_untied"), batch_)));
  EXPECT_THAT(warnings_, ElementsAre());
  const auto info = vene::models::inspect(folder_.path());
  std::int64_t parameters = 0;
  for (const torch::Tensor& parameter : model->parameters()) parameters += parameter.numel();
  EXPECT_EQ(info.parameters, parameters);
  EXPECT_EQ(info.architecture, "esm");
  EXPECT_THAT(model_error([&] {
                changed("esm_absolute", [](Json&, NamedValues& tensors) {
                  tensors.erase("esm.embeddings.position_embeddings.weight");
                });
              }),
              HasSubstr("1 tensor is missing: esm.embeddings.position_embeddings.weight"));
}

TEST_F(EsmTest, ReadsItsListOfTokens) {
  folder_.write("vocab.txt", "<cls>\n<pad>\n<eos>\n<unk>\nL\nA\n");
  EXPECT_NE(changed("esm_rotary", [](Json&, NamedValues&) {}), nullptr);
  EXPECT_THAT(warnings_, ElementsAre());
  EXPECT_EQ(vene::models::inspect(folder_.path()).tokenizer, "WordLevel");
}

TEST_F(EsmTest, RefusesByNameWhatItDoesNotCompute) {
  EXPECT_THAT(
      refused("is_folding_model", true),
      HasSubstr(
          "field 'is_folding_model' is true, which this architecture does not support here; expected false or none"));
  EXPECT_THAT(refused("is_decoder", true),
              HasSubstr("field 'is_decoder' is true, which this architecture does not support here"));
  EXPECT_THAT(refused("add_cross_attention", true), HasSubstr("field 'add_cross_attention' is true"));
  EXPECT_THAT(refused("position_embedding_type", "relative_key"),
              HasSubstr("position_embedding_type 'relative_key' is not built in; known: absolute, rotary"));
  EXPECT_THAT(refused("position_embedding_type", "rotory"),
              HasSubstr("position_embedding_type 'rotory' is not built in; did you mean 'rotary'"));
  EXPECT_THAT(refused("rope_scaling", {{"type", "linear"}, {"factor", 2.0}}, "esm_rotary"),
              HasSubstr("field 'rope_scaling' is"));
  EXPECT_THAT(refused("rope_theta", 0, "esm_rotary"),
              HasSubstr("field 'rope_theta': expected a positive number, got 0"));
  EXPECT_THAT(refused("num_attention_heads", 3),
              HasSubstr("hidden_size 16 is not a multiple of num_attention_heads 3"));
  EXPECT_THAT(refused("num_attention_heads", 16, "esm_rotary"), HasSubstr("1 of a head's 1 cannot be paired"));
  EXPECT_THAT(refused("mask_token_id", nullptr), HasSubstr("field 'mask_token_id' is missing"));
  EXPECT_THAT(refused("mask_token_id", 60), HasSubstr("mask_token_id 60 is outside the vocabulary of 60"));
  EXPECT_THAT(refused("pad_token_id", nullptr), HasSubstr("field 'pad_token_id' is missing"));
  EXPECT_THAT(refused("pad_token_id", -1), HasSubstr("pad_token_id -1 is outside the vocabulary of 60"));
  EXPECT_THAT(
      refused("pad_token_id", 23),
      HasSubstr(
          "max_position_embeddings: positions start at pad_token_id + 1, 24, so expected more than that, got 24"));
  EXPECT_THAT(model_error([&] {
                changed("esm_headless", [](Json&, NamedValues& tensors) {
                  tensors["classifier.weight"] = torch::zeros({2, 16});
                });
              }),
              HasSubstr(": classifier.weight"));
}

}  // namespace
