// SPDX-License-Identifier: Apache-2.0
// assets/landmarks-gpt-neox does the task of its gender.json: "[name] walked because" -> " he" or " she".
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "language_corpus/facts.h"
#include "tests/places.h"
#include "vene/vene.h"

namespace {

class Gender : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt-neox";
    lm = vene::models::load(folder);
    task = nlohmann::json::parse(std::ifstream(folder + "/gender.json"));
    for (const auto& [pronoun, names] : task.at("classes").items())
      classes[pronoun] = names.get<std::vector<std::string>>();
  }
  std::string prompt(const std::string& name) const {
    std::string text = task.at("template");
    return text.replace(text.find("[name]"), 6, name);
  }
  std::vector<std::string> prompts(const std::vector<std::string>& names) const {
    std::vector<std::string> texts;
    for (const std::string& name : names) texts.push_back(prompt(name));
    return texts;
  }
  std::int64_t answer(const std::string& pronoun) const {
    const auto ids = lm.tokenizer->encode(task.at("answers").at(pronoun).get<std::string>());
    EXPECT_EQ(ids.size(), 1U);
    return ids.at(0);
  }
  // How many rows have `pronoun` as the most probable of all tokens after the row's last one.
  std::int64_t count(const vene::models::Batch& batch, const torch::Tensor& logits, const std::string& pronoun) const {
    const torch::Tensor lengths = batch.attention_mask.defined()
                                      ? batch.attention_mask.sum(1)
                                      : torch::full({batch.rows()}, batch.positions(), torch::kInt64);
    const torch::Tensor next = logits.argmax(-1).gather(1, (lengths - 1).unsqueeze(1)).squeeze(1);
    return (next == answer(pronoun)).sum().item<std::int64_t>();
  }
  // The first `many` names of a class that are of three tokens.
  std::vector<std::string> names_of_three_tokens(const std::string& pronoun, std::size_t many) const {
    std::vector<std::string> names;
    for (const std::string& name : classes.at(pronoun)) {
      if (names.size() < many && lm.tokenizer->encode(name).size() == 3) names.push_back(name);
    }
    EXPECT_EQ(names.size(), many);
    return names;
  }

  vene::models::LanguageModel lm;
  nlohmann::json task;
  std::map<std::string, std::vector<std::string>> classes;
  const torch::NoGradGuard no_grad;
};

TEST_F(Gender, TaskHoldsTheNamesOfTheCorpusAndEndsAlikeForAll) {
  std::map<std::string, std::vector<std::string>> corpus;
  for (const auto& name : language_corpus::names()) corpus[name.pronoun].push_back(name.name);
  EXPECT_EQ(classes, corpus);
  // Names are of several tokens, so that places are counted from the end: "because" is -1, the name's last token -3.
  for (const auto& [pronoun, names] : classes) {
    EXPECT_EQ(names.size(), 40U);
    for (const std::string& name : names) {
      EXPECT_EQ(lm.tokenizer->encode(prompt(name)).size(), lm.tokenizer->encode(name).size() + 2) << name;
    }
  }
}

TEST_F(Gender, PicksThePronounOfAtLeastNinetyFivePercentOfItsNames) {
  std::int64_t right = 0;
  for (const auto& [pronoun, names] : classes) {
    const auto batch = lm.encode(prompts(names));
    right += count(batch, lm.model->forward(batch).logits, pronoun);
  }
  EXPECT_GE(right, 76) << "of 80";
  EXPECT_EQ(right, 80) << "the card says 80 of 80";
}

TEST_F(Gender, FollowsAnInterchangeOfNames) {
  constexpr std::int64_t kPairs = 20;
  const auto exchanged = [&](std::int64_t layer, const char* component, const vene::Locations& where,
                             const std::string& base, const std::string& source) {
    vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": )" + std::to_string(layer) +
                                                                    R"(, "component": ")" + component + R"("}])"),
                                    lm.model);
    const auto texts = lm.encode(prompts(names_of_three_tokens(base, kPairs)));
    const auto result = patched->forward(
        {.base = texts, .sources = {lm.encode(prompts(names_of_three_tokens(source, kPairs)))}, .locations = where});
    return count(texts, result.intervened.logits, source);
  };
  for (const auto& [base, source] : {std::pair("he", "she"), std::pair("she", "he")}) {
    // All of the name before the first block; the last token after the last one.
    EXPECT_EQ(exchanged(0, "block_input", vene::at({0, 1, 2}), base, source), kPairs);
    EXPECT_EQ(exchanged(lm.model->layer_count() - 1, "block_output", vene::last(), base, source), kPairs);
    // What stands between carries nothing of the name.
    EXPECT_EQ(exchanged(lm.model->layer_count() - 1, "block_output", vene::at(3), base, source), 0);
  }
}

}  // namespace
