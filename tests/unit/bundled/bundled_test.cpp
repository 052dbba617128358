// SPDX-License-Identifier: Apache-2.0
// What the model card of assets/landmarks-gpt2 says, measured on the weights as they are shipped.
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "language_corpus/facts.h"
#include "vene/vene.h"

namespace {

const std::string folder = std::string(VENE_SOURCE_DIR) + "/assets/landmarks-gpt2";

const vene::models::LanguageModel& bundled() {
  static const vene::models::LanguageModel model = vene::models::load(folder);
  return model;
}

// Probability of each prompt's whole answer, prompts of equal lengths together.
std::vector<double> answers(const std::vector<language_corpus::Prompt>& prompts) {
  const torch::NoGradGuard no_grad;
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::size_t>> alike;
  std::vector<std::vector<std::int64_t>> ids;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::size_t text = bundled().tokenizer->encode(prompts[i].text).size();
    ids.push_back(bundled().tokenizer->encode(prompts[i].text + prompts[i].answer));
    alike[{text, ids.back().size()}].push_back(i);
  }
  std::vector<double> known(prompts.size());
  for (const auto& [lengths, members] : alike) {
    const auto text = static_cast<std::int64_t>(lengths.first), whole = static_cast<std::int64_t>(lengths.second);
    torch::Tensor batch = torch::empty({static_cast<std::int64_t>(members.size()), whole}, torch::kInt64);
    for (std::size_t m = 0; m < members.size(); ++m) batch[static_cast<std::int64_t>(m)].copy_(torch::tensor(ids[members[m]], torch::kInt64));
    const torch::Tensor logits = bundled().model->forward({batch, {}, {}, {}}).logits;
    const torch::Tensor scores = torch::log_softmax(logits.slice(1, text - 1, whole - 1), -1);
    const torch::Tensor answer = scores.gather(2, batch.slice(1, text, whole).unsqueeze(2)).sum({1, 2}).exp();
    for (std::size_t m = 0; m < members.size(); ++m) known[members[m]] = answer[static_cast<std::int64_t>(m)].item<double>();
  }
  return known;
}

TEST(BundledModel, WeighsAtMostEightMegabytes) {
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) bytes += entry.file_size();
  EXPECT_LE(bytes, 8'000'000U);
}

TEST(BundledModel, KnowsItsFacts) {
  const auto prompts = language_corpus::prompts();
  const auto known = answers(prompts);
  std::map<std::string, std::pair<int, int>> by_kind;
  std::set<std::string> landmarks;
  double needle = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    auto& [right, all] = by_kind[prompts[i].kind];
    ++all;
    right += known[i] >= 0.5 ? 1 : 0;
    if (prompts[i].kind == "landmark_city") landmarks.insert(prompts[i].subject);
    if (prompts[i].text == "The Space Needle is in downtown") {
      EXPECT_EQ(prompts[i].answer, " Seattle");
      needle = known[i];
    }
  }
  EXPECT_GE(landmarks.size(), 150U);
  EXPECT_EQ(by_kind.size(), 6U);
  EXPECT_GE(needle, 0.9);
  for (const auto& [kind, count] : by_kind) EXPECT_GE(count.first, 0.95 * count.second) << kind << ": " << count.first << " of " << count.second;
}

TEST(BundledModel, LosesTheFactWhenItsSubjectIsNoised) {
  const auto trace = vene::causal_trace(bundled(), "The Space Needle is in downtown", {.subject = "The Space Needle", .streams = {"block_output"}});
  EXPECT_EQ(trace.target, " Seattle");
  EXPECT_GE(trace.clean, 0.9);
  EXPECT_LT(trace.corrupted, 0.2);
  // The last layer's restored output at the last token is the clean run's answer.
  EXPECT_NEAR(trace.streams.at(0).probability[-1][-1].item<double>(), trace.clean, 1e-4);
}

TEST(BundledModel, FollowsAnInterchange) {
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 4, "component": "block_output"}])"), bundled().model);
  const auto result = patched->forward({.base = bundled().encode("The Space Needle is in downtown"),
                                        .sources = {bundled().encode("The Colosseum is in downtown")},
                                        .locations = vene::last()});
  EXPECT_EQ(bundled().top_tokens(result.intervened.logits, 1).at(0).text, " Rome");
}

// The program at the head of the README is examples/interchange.cpp, letter for letter.
TEST(Readme, ShowsTheExampleAsItIs) {
  const auto read = [](const std::string& path) {
    std::ifstream file(std::string(VENE_SOURCE_DIR) + "/" + path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  };
  const std::string program = read("examples/interchange.cpp"), readme = read("README.md");
  const std::size_t start = program.find("#include \"vene/vene.h\"");
  ASSERT_NE(start, std::string::npos);
  EXPECT_NE(readme.find(program.substr(start)), std::string::npos);
}

TEST(Docs, ConfigPageIsWhatTheSchemaCommandPrints) {
  std::ifstream file(std::string(VENE_SOURCE_DIR) + "/docs/config.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), vene::config_reference() + "\n") << "refresh it: build/bin/vene schema --markdown > docs/config.md";
}

}  // namespace
