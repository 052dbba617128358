// SPDX-License-Identifier: Apache-2.0
// What the model cards in assets say, measured on the weights as they are shipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "language_corpus/facts.h"
#include "language_models/measure.h"
#include "tests/places.h"
#include "vene/vene.h"

namespace {

const std::string kAssets = std::string(vene_test::kSourceFolder) + "/assets";

// The table of a card: kind -> known of all. "| landmark -> city | ... | 2,065 of 2,065 |" is landmark_city.
std::map<std::string, language_models::Count> stated(const std::string& folder) {
  const std::regex row(R"(\| (\w+) -> (\w+) \|.*\| ([\d,]+) of ([\d,]+) \|)");
  const auto number = [](std::string text) {
    std::erase(text, ',');
    return std::stoi(text);
  };
  std::map<std::string, language_models::Count> counts;
  std::ifstream card(folder + "/README.md");
  std::smatch found;
  for (std::string line; std::getline(card, line);) {
    if (!std::regex_match(line, found, row)) continue;
    counts[found[2] == "pronoun" ? "pronoun" : found.str(1) + "_" + found.str(2)] = {number(found[3]),
                                                                                     number(found[4])};
  }
  return counts;
}

class Card : public testing::TestWithParam<std::string> {};

TEST_P(Card, StatesWhatTheWeightsKnow) {
  const std::string folder = kAssets + "/" + GetParam();
  const auto lm = vene::models::load(folder);
  const auto prompts = language_corpus::prompts();
  const auto probabilities = language_models::answer_probabilities(
      *lm.model, [&](const std::string& text) { return lm.tokenizer->encode(text); }, prompts);
  const auto card = stated(folder), measured = language_models::count_known(prompts, probabilities);
  ASSERT_EQ(card.size(), static_cast<std::size_t>(language_corpus::kind_count));
  // Prompts at 0.5, where another machine's rounding may tip the scale.
  std::map<std::string, int> in_doubt;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    in_doubt[prompts[i].kind] += std::abs(probabilities[i] - 0.5) < 1e-3 ? 1 : 0;
  for (const auto& [kind, count] : card) {
    ASSERT_TRUE(measured.contains(kind)) << kind;
    EXPECT_EQ(count.all, measured.at(kind).all) << kind;
    EXPECT_LE(std::abs(count.known - measured.at(kind).known), in_doubt[kind])
        << kind << ": the card says " << count.known << ", measured " << measured.at(kind).known;
  }
}

INSTANTIATE_TEST_SUITE_P(Bundled, Card, testing::Values("landmarks-gpt2", "landmarks-gpt-neox", "landmarks-gru"),
                         [](const auto& with) {
                           std::string name = with.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Assets, WeighAtMostSixteenMegabytesInAll) {
  std::uintmax_t bytes = 0;
  std::set<std::string> models;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kAssets)) {
    if (!entry.is_regular_file()) continue;
    bytes += entry.file_size();
    if (entry.path().filename() == "model.safetensors") models.insert(entry.path().parent_path().filename());
  }
  EXPECT_THAT(models, testing::ElementsAre("landmarks-gpt-neox", "landmarks-gpt2", "landmarks-gru"));
  EXPECT_LE(bytes, 16'000'000U);
}

}  // namespace
