// SPDX-License-Identifier: Apache-2.0
// assets/landmarks-gpt-neox does the task of its gender.json: "[name] walked because" -> " he" or " she".
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "language_corpus/facts.h"
#include "vene/vene.h"

namespace {

class Gender : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = std::string(VENE_SOURCE_DIR) + "/assets/landmarks-gpt-neox";
    lm = vene::models::load(folder);
    task = nlohmann::json::parse(std::ifstream(folder + "/gender.json"));
    for (const auto& [pronoun, names] : task.at("classes").items()) classes[pronoun] = names.get<std::vector<std::string>>();
  }
  std::string prompt(const std::string& name) const {
    std::string text = task.at("template");
    return text.replace(text.find("[name]"), 6, name);
  }
  std::vector<std::string> prompts(const std::string& pronoun) const {
    std::vector<std::string> texts;
    for (const std::string& name : classes.at(pronoun)) texts.push_back(prompt(name));
    return texts;
  }
  std::int64_t answer(const std::string& pronoun) const {
    const auto ids = lm.tokenizer->encode(task.at("answers").at(pronoun).get<std::string>());
    EXPECT_EQ(ids.size(), 1U);
    return ids.at(0);
  }
  // How many rows have `pronoun` as the most probable next token of all.
  std::int64_t count(const torch::Tensor& logits, const std::string& pronoun) const {
    return (logits.select(1, -1).argmax(-1) == answer(pronoun)).sum().item<std::int64_t>();
  }

  vene::models::LanguageModel lm;
  nlohmann::json task;
  std::map<std::string, std::vector<std::string>> classes;
  const torch::NoGradGuard no_grad;
};

TEST_F(Gender, TaskHoldsTheNamesOfTheCorpusEachAsOneToken) {
  std::map<std::string, std::vector<std::string>> corpus;
  for (const auto& name : language_corpus::names()) corpus[name.pronoun].push_back(name.name);
  EXPECT_EQ(classes, corpus);
  const std::size_t length = lm.tokenizer->encode(prompt("John")).size();
  for (const auto& [pronoun, names] : classes) {
    EXPECT_EQ(names.size(), 40U);
    for (const std::string& name : names) {
      EXPECT_EQ(lm.tokenizer->encode(name).size(), 1U) << name;
      EXPECT_EQ(lm.tokenizer->encode(prompt(name)).size(), length) << name;
    }
  }
}

TEST_F(Gender, PicksThePronounOfAtLeastNinetyFivePercentOfItsNames) {
  std::int64_t right = 0;
  for (const char* pronoun : {"he", "she"}) right += count(lm.model->forward(lm.encode(prompts(pronoun))).logits, pronoun);
  EXPECT_GE(right, 76) << "of 80";
}

// The name is read into the stream of the later tokens layer by layer: exchanged in all layers it is the other's prompt.
TEST_F(Gender, FollowsAnInterchangeOfNames) {
  for (const auto& [base, source] : {std::pair("he", "she"), std::pair("she", "he")}) {
    vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 0, "component": "block_input"}])"), lm.model);
    const auto at_name = patched->forward({.base = lm.encode(prompts(base)), .sources = {lm.encode(prompts(source))}, .locations = vene::at(0)});
    EXPECT_GE(count(at_name.intervened.logits, source), 38) << "of 40";
    // The last token's stream holds the answer before the last block, and what comes before it is not asked again.
    const std::string late = R"([{"layer": )" + std::to_string(lm.model->layer_count() - 1) + R"(, "component": "block_input"}])";
    vene::IntervenableModel at_end(vene::IntervenableConfig::parse(late), lm.model);
    const auto at_last = at_end->forward({.base = lm.encode(prompts(base)), .sources = {lm.encode(prompts(source))}, .locations = vene::last()});
    EXPECT_GE(count(at_last.intervened.logits, source), 38) << "of 40";
  }
}

}  // namespace
