// SPDX-License-Identifier: Apache-2.0
// What the model card of assets/landmarks-gpt2 says, measured on the weights as they are shipped.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "language_corpus/facts.h"
#include "language_models/measure.h"
#include "tests/places.h"
#include "vene/vene.h"

namespace {

const std::string folder = std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2";

const vene::models::LanguageModel& bundled() {
  static const vene::models::LanguageModel model = vene::models::load(folder);
  return model;
}

TEST(BundledModel, WeighsAtMostEightMegabytes) {
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) bytes += entry.file_size();
  EXPECT_LE(bytes, 8'000'000U);
}

TEST(BundledModel, KnowsItsFacts) {
  const auto prompts = language_corpus::prompts();
  const auto known = language_models::answer_probabilities(
      *bundled().model, [](const std::string& text) { return bundled().tokenizer->encode(text); }, prompts);
  std::set<std::string> landmarks;
  double needle = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].kind == "landmark_city") landmarks.insert(prompts[i].subject);
    if (prompts[i].text == "The Space Needle is in downtown") {
      EXPECT_EQ(prompts[i].answer, " Seattle");
      needle = known[i];
    }
  }
  EXPECT_GE(landmarks.size(), 150U);
  EXPECT_GE(needle, 0.9);
  const auto by_kind = language_models::count_known(prompts, known);
  EXPECT_EQ(by_kind.size(), 6U);
  for (const auto& [kind, count] : by_kind)
    EXPECT_GE(count.known, 0.95 * count.all) << kind << ": " << count.known << " of " << count.all;
}

TEST(BundledModel, LosesTheFactWhenItsSubjectIsNoised) {
  const auto trace = vene::causal_trace(bundled(), "The Space Needle is in downtown",
                                        {.subject = "The Space Needle", .streams = {"block_output"}});
  EXPECT_EQ(trace.target, " Seattle");
  EXPECT_GE(trace.clean, 0.9);
  EXPECT_LT(trace.corrupted, 0.2);
  // The last layer's restored output at the last token is the clean run's answer.
  EXPECT_NEAR(trace.streams.at(0).probability[-1][-1].item<double>(), trace.clean, 1e-4);
}

TEST(BundledModel, FollowsAnInterchange) {
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 4, "component": "block_output"}])"),
                                  bundled().model);
  const auto result = patched->forward({.base = bundled().encode("The Space Needle is in downtown"),
                                        .sources = {bundled().encode("The Colosseum is in downtown")},
                                        .locations = vene::last()});
  EXPECT_EQ(bundled().top_tokens(result.intervened.logits, 1).at(0).text, " Rome");
}

// The program at the head of the README is examples/interchange.cpp, letter for letter.
TEST(Readme, ShowsTheExampleAsItIs) {
  const auto read = [](const std::string& path) {
    std::ifstream file(std::string(vene_test::kSourceFolder) + "/" + path);
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
  std::ifstream file(std::string(vene_test::kSourceFolder) + "/docs/config.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), vene::config_reference() + "\n")
      << "refresh it: build/bin/vene schema --markdown > docs/config.md";
}

}  // namespace
