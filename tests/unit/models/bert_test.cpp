// SPDX-License-Identifier: Apache-2.0
// What is BERT's own: both directions, token types, the spellings of its checkpoints, and what it refuses.
#include "vene/models/bert.h"

#include <gmock/gmock.h>

#include "checkpoint.h"

namespace {

using namespace vene_test;
using testing::ElementsAre;
using testing::HasSubstr;
using vene::models::Batch;
using Json = nlohmann::json;

class BertTest : public ChangedCheckpointTest {
 protected:
  std::string refused(const std::string& field, const Json& value) {
    return ChangedCheckpointTest::refused("bert_tied", field, value);
  }
};

TEST_F(BertTest, EveryPositionSeesTheWholeText) {
  const auto model = golden_model("bert_tied");
  EXPECT_TRUE(model->reads_ahead());
  Batch other = row_of(three_rows()[0]);
  other.input_ids[0][5] = 40;
  const torch::Tensor difference = (output_of(*model, other) - output_of(*model, batch_)).abs().amax({0, 2});
  EXPECT_GT(difference.min().item<double>(), 1e-3);
}

TEST_F(BertTest, HasNoKeyValueCache) {
  vene::models::KeyValueCache cache;
  EXPECT_THAT(model_error([&] { golden_model("bert_tied")->forward(batch_, {.cache = &cache}); }),
              HasSubstr("bert: every position looks at the whole text, so there is no key-value cache"));
}

TEST_F(BertTest, TokenTypesAddTheirVectorsAndAreZeroUnlessGiven) {
  const auto model = golden_model("bert_untied");
  const torch::Tensor plain = output_of(*model, batch_);
  batch_.extra = {torch::zeros_like(batch_.input_ids)};
  EXPECT_TRUE(torch::equal(output_of(*model, batch_), plain));
  batch_.extra = {torch::tensor({{0, 0, 0, 1, 1, 2}}, torch::kInt64)};
  const torch::Tensor typed = output_of(*model, batch_);
  EXPECT_GT(relative_error(typed, plain), 1e-3);
  // The same by giving words that hold the vectors already.
  const auto parameters = model->named_parameters();
  const torch::Tensor& types = parameters["bert.embeddings.token_type_embeddings.weight"];
  Batch vectors;
  vectors.inputs_embeds = parameters["bert.embeddings.word_embeddings.weight"].index({batch_.input_ids}) +
                          types.index({batch_.extra[0]}) - types[0];
  EXPECT_LE(relative_error(output_of(*model, vectors), typed), 1e-6);
}

TEST_F(BertTest, RefusesTokenTypesThatDoNotFit) {
  const auto model = golden_model("bert_tied");
  batch_.extra = {torch::full_like(batch_.input_ids, 2)};
  EXPECT_THAT(model_error([&] { model->forward(batch_); }), HasSubstr("extra: token types go from 0 to 1"));
  batch_.extra = {torch::zeros({1, 5}, torch::kInt64)};
  EXPECT_THAT(
      model_error([&] { model->forward(batch_); }),
      HasSubstr(
          "extra: expected token types [1, 6] (int64) and nothing else, got 1 tensors, the first of shape [1, 5]"));
}

TEST_F(BertTest, WritesToWhatAttentionReadsLeaveTheStreamBesideItAlone) {
  const auto model = golden_model("bert_headless");
  const auto& read = model->sites().find("attention_input", 0);
  const auto& added = model->sites().find("attention_output", 0);
  const auto& next = model->sites().find("mlp_input", 0);
  torch::Tensor half, stream;
  vene::HookTable table;
  table.on(read.id, read.phase, [&](const vene::HookContext& context) {
    stream = context.value().clone();
    context.value() = torch::zeros_like(context.value());
  });
  table.on(added.id, added.phase, [&](const vene::HookContext& context) { half = context.value().clone(); });
  torch::Tensor middle;
  table.on(next.id, next.phase, [&](const vene::HookContext& context) { middle = context.value().clone(); });
  const vene::HookScope scope(table);
  model->forward(batch_);
  const auto parameters = model->named_parameters();
  const std::string norm = "bert.encoder.layer.0.attention.output.LayerNorm.";
  EXPECT_LE(relative_error(middle, torch::layer_norm(half + stream, {16}, parameters[norm + "weight"],
                                                     parameters[norm + "bias"], 1e-12)),
            1e-6);
}

TEST_F(BertTest, ReadsTheFirstCheckpointsAndThoseOfPretraining) {
  const auto model = changed("bert_tied", [](Json& config, NamedValues& tensors) {
    config["architectures"] = {"BertForPreTraining"};
    NamedValues old;
    for (const auto& [name, tensor] : tensors) {
      std::string spelt = name;
      for (const auto& [here, there] :
           {std::pair("LayerNorm.weight", "LayerNorm.gamma"), std::pair("LayerNorm.bias", "LayerNorm.beta")}) {
        if (spelt.ends_with(here)) spelt = spelt.substr(0, spelt.size() - std::string(here).size()) + there;
      }
      old[spelt] = tensor;
    }
    old["cls.predictions.decoder.weight"] = tensors.at("bert.embeddings.word_embeddings.weight").clone();
    old["bert.pooler.dense.weight"] = torch::zeros({16, 16});
    old["bert.pooler.dense.bias"] = torch::zeros({16});
    old["cls.seq_relationship.weight"] = torch::zeros({2, 16});
    old["cls.seq_relationship.bias"] = torch::zeros({2});
    old["bert.embeddings.position_ids"] = torch::arange(24).unsqueeze(0);
    tensors = old;
  });
  EXPECT_TRUE(torch::equal(output_of(*model, batch_), output_of(*golden_model("bert_tied"), batch_)));
  EXPECT_THAT(warnings_, ElementsAre());
}

TEST_F(BertTest, PassesOverATokenizerThatCannotBeReadWithAWarning) {
  folder_.write("tokenizer.json", R"({"model": {"type": "WordPieces", "vocab": {"[UNK]": 0}}})");
  EXPECT_NE(changed("bert_tied", [](Json&, NamedValues&) {}), nullptr);
  EXPECT_THAT(warnings_,
              ElementsAre(HasSubstr(
                  "type 'WordPieces' is not supported; did you mean 'WordPiece'?; this model takes token ids only")));
  EXPECT_EQ(vene::models::inspect(folder_.path()).architecture, "bert");
}

TEST_F(BertTest, RefusesByNameWhatItDoesNotCompute) {
  EXPECT_THAT(refused("is_decoder", true),
              HasSubstr("field 'is_decoder' is true, which this architecture does not support here"));
  EXPECT_THAT(refused("add_cross_attention", true), HasSubstr("field 'add_cross_attention' is true"));
  EXPECT_THAT(refused("position_embedding_type", "relative_key"),
              HasSubstr("field 'position_embedding_type' is \"relative_key\", which this architecture does not support "
                        "here; expected \"absolute\""));
  EXPECT_THAT(refused("hidden_act", "gelo"), HasSubstr("activation 'gelo' is not built in; did you mean 'gelu'"));
  EXPECT_THAT(refused("num_attention_heads", 3),
              HasSubstr("hidden_size 16 is not a multiple of num_attention_heads 3"));
  EXPECT_THAT(refused("type_vocab_size", 0), HasSubstr("type_vocab_size: expected a positive number, got 0"));
  EXPECT_THAT(model_error([&] {
                changed("bert_headless", [](Json&, NamedValues& tensors) {
                  tensors["classifier.weight"] = torch::zeros({2, 16});
                });
              }),
              HasSubstr(": classifier.weight"));
}

}  // namespace
