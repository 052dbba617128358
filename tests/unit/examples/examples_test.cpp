// SPDX-License-Identifier: Apache-2.0
// The examples run and print what is committed; the README and the guide show them as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "unit/cli/child.h"

namespace {

using vene_test::Outcome;
using vene_test::read_text;
using vene_test::source_path;
using vene_test::TestFolder;

// Numbers, which another processor may round otherwise, apart from the text around them. The shades of a map in ASCII
// are numbers as well.
void expect_alike(const std::string& expected, const std::string& got) {
  static const std::regex kNumber(R"([0-9]+\.[0-9]+(e-?[0-9]+)?)"), kShades(R"(\|[ .:=+*#%@-]+\|)");
  const auto numbers = [](const std::string& text) {
    std::vector<double> values;
    for (auto found = std::sregex_iterator(text.begin(), text.end(), kNumber); found != std::sregex_iterator(); ++found)
      values.push_back(std::stod(found->str()));
    return values;
  };
  const auto words = [](const std::string& text) {
    return std::regex_replace(std::regex_replace(text, kNumber, "#"), kShades, "|...|");
  };
  EXPECT_EQ(words(expected), words(got));
  const auto wanted = numbers(expected), values = numbers(got);
  ASSERT_EQ(wanted.size(), values.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(wanted[i], values[i], 1e-3 + 1e-2 * wanted[i]) << "number " << i;
}

std::string run_example(const std::string& name) {
  const Outcome outcome = vene_test::run_program(vene_test::program_path(name), {});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

TEST(Examples, SayWhatIsWrongWithAFolderInsteadOfAborting) {
  for (const char* name : {"locate_gender", "steer_generation"}) {
    const Outcome outcome = vene_test::run_program(vene_test::program_path(name), {"nowhere"});
    EXPECT_EQ(outcome.status, 1) << name;
    EXPECT_EQ(outcome.err, "nowhere: no such folder\n") << name;
  }
}

// The code blocks of a Markdown page in a language; those without one are "".
std::vector<std::string> blocks_of(const std::string& page, const std::string& language) {
  std::vector<std::string> blocks;
  bool inside = false, wanted = false;
  for (const std::string& line : vene_test::lines_of(read_text(source_path(page)))) {
    if (line.starts_with("```")) {
      inside = !inside;
      wanted = inside && line.substr(3) == language;
      if (wanted) blocks.emplace_back();
    } else if (wanted) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

std::string without_spaces(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c); });
  return text;
}

class Examples : public testing::TestWithParam<const char*> {};

TEST_P(Examples, PrintWhatIsCommitted) {
  expect_alike(read_text(source_path("tests/golden/examples/" + std::string(GetParam()) + ".txt")),
               run_example(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Each, Examples,
                         testing::Values("interchange", "causal_tracing", "collect_and_fit", "custom_intervention",
                                         "first_steps", "locate_gender", "patch_landmarks", "ablate_landmarks",
                                         "small_resnet", "steer_generation", "steer_prompts"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Example, TrainsALanguageModelOfEachArchitectureThatTheCommandReads) {
  for (const char* architecture : {"gpt2", "gpt_neox", "gru"}) {
    const TestFolder folder;
    const Outcome outcome =
        vene_test::run_program(vene_test::program_path("train_language_model"),
                               {"-o", folder / "model", "--architecture", architecture, "--quick", "--threads", "1"});
    EXPECT_EQ(outcome.status, 0) << architecture << outcome.err;
    for (const char* made : {"config.json", "model.safetensors", "vocab.json", "merges.txt", "gender.json"})
      EXPECT_TRUE(std::filesystem::exists(folder / "model/" + std::string(made))) << made;
    const Outcome info = vene_test::run_program(vene_test::program_path("vene"), {"info", folder / "model"});
    EXPECT_EQ(info.status, 0) << info.err;
    EXPECT_THAT(info.out, testing::HasSubstr(architecture));
  }
}

TEST(Example, TrainsNoArchitectureThatItDoesNotKnow) {
  const TestFolder folder;
  const Outcome outcome = vene_test::run_program(vene_test::program_path("train_language_model"),
                                                 {"-o", folder / "model", "--architecture", "bert", "--quick"});
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.err, testing::HasSubstr("--architecture"));
  EXPECT_THAT(outcome.err, testing::HasSubstr("bert"));
  EXPECT_THAT(outcome.err, testing::HasSubstr("gpt_neox"));
  EXPECT_FALSE(std::filesystem::exists(folder / "model"));
}

TEST(Readme, ShowsWhatItsProgramPrints) {
  const auto blocks = blocks_of("README.md", "");
  const auto shown = std::find_if(blocks.begin(), blocks.end(),
                                  [](const std::string& block) { return block.starts_with("original:"); });
  ASSERT_NE(shown, blocks.end());
  expect_alike(*shown, run_example("interchange"));
}

TEST(Docs, CppBlocksOfTheGuideStandInExamples) {
  std::string examples;
  for (const char* name : {"interchange", "causal_tracing", "custom_intervention", "first_steps", "steer_prompts"})
    examples += without_spaces(read_text(source_path(std::string("examples/") + name + ".cpp")));
  const auto blocks = blocks_of("docs/guide.md", "cpp");
  ASSERT_FALSE(blocks.empty());
  for (const std::string& block : blocks) EXPECT_THAT(examples, testing::HasSubstr(without_spaces(block))) << block;
}

TEST(Docs, JsonBlocksAreJson) {
  int found = 0;
  for (const auto& page : std::filesystem::directory_iterator(source_path("docs"))) {
    if (page.path().extension() != ".md") continue;
    for (const std::string& block : blocks_of("docs/" + page.path().filename().string(), "json")) {
      EXPECT_TRUE(nlohmann::json::accept(block)) << page.path() << "\n" << block;
      ++found;
    }
  }
  EXPECT_GE(found, 1);
}

}  // namespace
