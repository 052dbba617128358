// SPDX-License-Identifier: Apache-2.0
// What people who come from pyvene and transformers paste into an experiment means what it means there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/grid_models.h"
#include "vene/base/error.h"

namespace vene {
namespace {

using testing::HasSubstr;
using namespace vene_test;

const models::LanguageModel& landmarks() {
  static const models::LanguageModel kModel =
      models::load((std::filesystem::path(kSourceFolder) / "assets" / "landmarks-gpt2").string());
  return kModel;
}

const models::LanguageModel& bert() {
  static const models::LanguageModel kModel =
      models::load((std::filesystem::path(kSourceFolder) / "tests/golden/models/bert_tied").string());
  return kModel;
}

torch::Tensor logits(const std::string& members, const models::LanguageModel& model = landmarks()) {
  const torch::NoGradGuard no_grad;
  return run_experiment(parse_experiment("{" + members + "}", model), model).intervened.logits;
}

std::string problem(const std::string& members, const models::LanguageModel& model = landmarks()) {
  try {
    (void)logits(members, model);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

const std::string kSwap =
    R"("config": [{"layer": 2, "component": "block_output"}], "unit_locations": {"base": "last"}, )";
const std::string kAddAt = R"("base": "The Louvre is in", "unit_locations": {"base": "last"}, )";

TEST(Pasted, InputsMayBePlainTextsAndASourceMayStandAlone) {
  const torch::Tensor longhand =
      logits(kSwap + R"("base": {"text": ["The Louvre is in"]}, "sources": [{"text": ["The Colosseum is in"]}])");
  for (const char* members : {R"("base": "The Louvre is in", "sources": "The Colosseum is in")",
                              R"("base": ["The Louvre is in"], "sources": ["The Colosseum is in"])",
                              R"("base": {"text": "The Louvre is in"}, "sources": {"text": "The Colosseum is in"})",
                              R"("base": "The Louvre is in", "sources": [["The Colosseum is in"]])"})
    EXPECT_TRUE(torch::equal(logits(kSwap + members), longhand)) << members;
  EXPECT_FALSE(torch::equal(logits(kSwap + R"("base": "The Louvre is in", "sources": "The Louvre is in")"), longhand));
  EXPECT_THAT(problem(kSwap + R"("base": 3, "sources": "x")"), HasSubstr("base: expected an object such as"));
  EXPECT_THAT(problem(kSwap + R"("base": "x", "sources": 3)"),
              HasSubstr("sources: expected an input, or a list of inputs and nulls"));
  EXPECT_THAT(problem(kSwap + R"("base": "x", "sources": "x")", bert()), HasSubstr("this model has no tokenizer"));
}

TEST(Pasted, PositionalRepresentationsMayBeShort) {
  const std::string inputs =
      R"(, "base": "The Louvre is in", "sources": "The Colosseum is in", "unit_locations": {"base": "last"})";
  const torch::Tensor longhand = logits(R"("config": {"layer": 2, "component": "mlp_output"})" + inputs);
  for (const char* config : {R"([2, "mlp_output"])", R"([[2, "mlp_output"]])", R"([[2, "mlp_output", "pos", 1]])",
                             R"({"representations": [[2, "mlp_output"]]})", R"({"representations": [2, "mlp_output"]})",
                             R"([[2, "mlp_output", "pos", 1, null, "vanilla", null, null]])"})
    EXPECT_TRUE(torch::equal(logits("\"config\": " + std::string(config) + inputs), longhand)) << config;
}

TEST(Pasted, ConstantsMayBeOneNumberZerosOrTheEmbeddingOfAText) {
  const auto with = [&](const std::string& type, const std::string& constant) {
    return logits(kAddAt + R"("config": [{"layer": 1, "component": "block_output", "intervention_type": ")" + type +
                  R"(", "source_representation": )" + constant + "}]");
  };
  const auto given = [&](const std::string& type, const std::string& constant) {
    return logits(kAddAt + R"("config": [{"layer": 1, "component": "block_output", "intervention_type": ")" + type +
                  R"("}], "source_representations": )" + constant);
  };
  const std::int64_t width = landmarks().model->hidden_size();
  const auto list = [&](const torch::Tensor& values) {
    std::string text = "[";
    for (std::int64_t i = 0; i < width; ++i) {
      char number[32];
      std::snprintf(number, sizeof number, "%s%.17g", i > 0 ? ", " : "", values[i].item<double>());
      text += number;
    }
    return text + "]";
  };
  const torch::Tensor halves = with("addition", list(torch::full({width}, 0.5)));
  EXPECT_TRUE(torch::equal(with("addition", "0.5"), halves));
  EXPECT_TRUE(torch::equal(given("addition", "0.5"), halves));
  EXPECT_TRUE(torch::equal(given("addition", R"({"0": 0.5})"), halves));
  const torch::Tensor zeros = with("zero", "null");
  EXPECT_TRUE(torch::equal(with("vanilla", "\"zeros\""), zeros));
  EXPECT_TRUE(torch::equal(given("vanilla", "\"zeros\""), zeros));

  const std::vector<std::int64_t> ids = landmarks().tokenizer->encode(" Rome", false);
  ASSERT_EQ(ids.size(), 1U);
  const torch::Tensor steered =
      with("addition", list(landmarks().model->token_embedding().detach()[ids[0]].to(torch::kFloat32) * 0.25));
  const std::string embedding = R"({"embedding_of": " Rome", "scale": 0.25})";
  EXPECT_TRUE(torch::equal(with("addition", embedding), steered));
  EXPECT_TRUE(torch::equal(given("addition", embedding), steered));
  EXPECT_TRUE(torch::equal(given("addition", R"({"0": )" + embedding + "}"), steered));
  EXPECT_FALSE(torch::equal(with("addition", R"({"embedding_of": " Rome"})"), steered));
}

TEST(Pasted, ConstantsThatMeanNothingAreRefusedInASentence) {
  const auto refused = [&](const std::string& constant) {
    return problem(kAddAt + R"("config": [{"layer": 1, "source_representation": )" + constant + "}]");
  };
  EXPECT_THAT(refused("\"ones\""), HasSubstr("source_representation: expected numbers or \"zeros\""));
  EXPECT_THAT(refused(R"({"embedding_of": ""})"), HasSubstr("source_representation.embedding_of: expected a text"));
  EXPECT_THAT(refused(R"({"embedding_of": " Rome", "scal": 1})"), HasSubstr("did you mean 'scale'"));
  EXPECT_THAT(
      problem(R"("base": {"input_ids": [[1]]}, "config": [{"source_representation": {"embedding_of": "a"}}])", bert()),
      HasSubstr("embedding_of: this model has no tokenizer; give the numbers"));
  const models::LanguageModel no_table{
      models::load((std::filesystem::path(kSourceFolder) / "tests/golden/models/mlp_classifier").string()).model,
      landmarks().tokenizer};
  EXPECT_THAT(
      problem(R"("base": {"inputs_embeds": [[1]]}, "config": [{"source_representation": {"embedding_of": "a"}}])",
              no_table),
      HasSubstr("embedding_of: the text has no embedding in this model"));
  EXPECT_THAT(problem(R"("base": "The Louvre", "config": [{"component": "attention_pattern", "unit": "h",
                          "source_representation": 1}])"),
              HasSubstr("representations[0].source_representation: a lone number stands for the whole width"));
  try {
    (void)IntervenableConfig::parse(R"([{"source_representation": {"embedding_of": " happy"}}])");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("stands for numbers in an experiment or a training spec"));
  }
}

TEST(Pasted, KeepLastDimLeavesUnitsApart) {
  const std::string members =
      R"("base": "The Louvre is in", "sources": "The Colosseum is in", "unit_locations": {"base": [0, 1]}, "subspaces": [[[0, 1]]])";
  const auto rotated = [&](const std::string& further) {
    torch::manual_seed(3);
    return logits(members + R"(, "config": [{"intervention_type": "rotated_space")" + further + "}]");
  };
  EXPECT_TRUE(torch::equal(rotated(R"(, "max_number_of_units": 2, "keep_last_dim": true)"), rotated("")));
  EXPECT_FALSE(torch::equal(rotated(R"(, "max_number_of_units": 2, "keep_last_dim": false)"), rotated("")));
}

TEST(Pasted, TokenTypesGoIntoAModelThatHasThem) {
  const std::string config = R"("config": [{"intervention_type": "collect"}], "unit_locations": {"base": 0}, )";
  const torch::Tensor plain = logits(config + R"("base": {"input_ids": [[1, 2, 3], [4, 5, 6]]})", bert());
  const auto typed = [&](const std::string& types) {
    return config + R"("base": {"input_ids": [[1, 2, 3], [4, 5, 6]], "token_type_ids": )" + types + "}";
  };
  EXPECT_TRUE(torch::equal(logits(typed("[[0, 0, 0], [0, 0, 0]]"), bert()), plain));
  models::Batch batch;
  batch.input_ids = torch::tensor({{1, 2, 3}, {4, 5, 6}}, torch::kInt64);
  batch.extra = {torch::tensor({{0, 1, 1}, {0, 0, 1}}, torch::kInt64)};
  const torch::NoGradGuard no_grad;
  const torch::Tensor expected = bert().model->forward(batch).logits;
  EXPECT_FALSE(torch::allclose(plain, expected));
  EXPECT_TRUE(torch::allclose(logits(typed("[[0, 1, 1], [0, 0, 1]]"), bert()), expected, 1e-5, 1e-6));
  EXPECT_THAT(problem(typed("[[0, 1], [0, 1]]"), bert()), HasSubstr("token_type_ids: expected shape [2, 3]"));
  EXPECT_EQ(problem(typed("[[0, 0, 0], [0, 0, 0]]")), "no error");
  EXPECT_THAT(problem(typed("[[0, 0, 1], [0, 0, 0]]")),
              HasSubstr("base.token_type_ids: this model has no token types, so that they can be 0 only"));
  EXPECT_THAT(problem(config + R"("base": {"text": "a", "token_type_ids": [[0]]})"),
              HasSubstr("base.token_type_ids: stand beside \"input_ids\"; leave them out"));
}

TEST(Pasted, GenerationsTakeTransformersMaxLengthAndDoSample) {
  const auto generation = [&](const std::string& options) {
    return *parse_experiment(
                R"({"base": {"input_ids": [[1, 2, 3]]}, "config": [{"intervention_type": "zero"}], "generate": {)" +
                    options + "}}",
                landmarks())
                .generate;
  };
  EXPECT_EQ(generation(R"("max_length": 10)").max_new_tokens, 7);
  EXPECT_EQ(generation(R"("do_sample": false, "temperature": 0.7)").temperature, 0);
  EXPECT_EQ(generation(R"("do_sample": true, "temperature": 0.7, "top_k": 0)").temperature, 0.7);
  EXPECT_EQ(generation(R"("do_sample": true, "temperature": 0.7, "top_k": 0)").top_k, 0);
  EXPECT_EQ(generation(R"("do_sample": true)").temperature, 1);
  EXPECT_EQ(generation(R"("do_sample": true)").top_k, 50);
  const auto refused = [&](const std::string& options) {
    try {
      (void)generation(options);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(refused(R"("max_length": 3)"),
              HasSubstr("generate.max_length: expected an integer of more than the prompt's positions, 3"));
  EXPECT_THAT(refused(R"("max_length": 9, "max_new_tokens": 2)"),
              HasSubstr("'max_new_tokens' and 'max_length' are two ways to say one thing; give one"));
}

TEST(Pasted, WhatNoModelHereHasIsRefused) {
  const std::string inputs = R"(, "base": "The Louvre is in", "sources": "The Colosseum is in")";
  EXPECT_THAT(problem(R"("config": [{"moe_key": 1}])" + inputs),
              HasSubstr("representations[0].moe_key: this model has no experts; leave it out"));
  EXPECT_THAT(problem(R"("config": [{"component": "attention_weight"}])" + inputs),
              HasSubstr("no component 'attention_weight'; did you mean 'attention_pattern'?"));
}

}  // namespace
}  // namespace vene
