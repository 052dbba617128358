// SPDX-License-Identifier: Apache-2.0
// The pages can be followed: every command and every JSON of README and docs is run as it stands there, page by page,
// from top to bottom, in a folder that looks like a checkout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "unit/cli/child.h"
#include "vene/io/safetensors.h"

namespace vene_test {
namespace {

namespace fs = std::filesystem;

struct Block {
  std::string language, text;
  std::string file;  // a JSON that the sentence before gives a name
  std::size_t line = 0;
};

std::vector<Block> blocks_of(const std::string& page) {
  std::vector<Block> blocks;
  bool inside = false;
  std::string before;
  std::size_t number = 0;
  for (const std::string& line : lines_of(read_text(source_path(page)))) {
    ++number;
    if (line.starts_with("```")) {
      if (!inside) {
        std::smatch named;
        Block block{line.substr(3), "", "", number};
        if (block.language == "json" && std::regex_search(before, named, std::regex("`([a-z_]+\\.json)` here")))
          block.file = named[1];
        blocks.push_back(block);
        before.clear();  // it names this block and no other
      }
      inside = !inside;
    } else if (inside) {
      blocks.back().text += line + "\n";
    } else if (!line.empty()) {
      before = line;
    }
  }
  return blocks;
}

// What a test cannot do: install, speak with a hub (hub_test.cpp does, with one of its own), build what it is built
// from, run transformers.
bool beyond_a_test(const std::string& command) {
  static const std::vector<std::string> kBegin{
      "pip install", "hf ",    "vene push", "vene pull",
      "scripts/",    "cmake ", "ninja",     "python scripts/reference_activations.py"};
  return std::any_of(kBegin.begin(), kBegin.end(),
                     [&](const std::string& begin) { return command.starts_with(begin); });
}

std::string model_of(const std::string& page) {
  return page == "docs/models/gru.md" ? "assets/landmarks-gru" : "assets/landmarks-gpt2";
}

// A saved folder of interventions that need a source.
void make_saved(const std::string& folder) {
  write_text(folder + "/two.json", R"({"config": [{"layer": 2, "intervention_type": "low_rank_rotated_space",
      "low_rank_dimension": 1}], "unit_locations": {"sources->base": "last"}, "training": {"epochs": 1}, "examples": [
      {"base": "The Space Needle is in downtown", "sources": ["The Colosseum is in downtown"], "label": " Rome"}]})");
  const Outcome made =
      vene_command({"train", "-m", bundled_model(), "two.json", "-o", "made", "--no-picture"}, {.folder = folder});
  ASSERT_EQ(made.status, 0) << made.err;
  fs::rename(folder + "/made/intervention", folder + "/somewhere");
}

// What scripts/reference_activations.py would write.
void make_reference(const std::string& folder) {
  write_text(
      folder + "/once.json",
      R"({"config": [{"component": "embedding", "intervention_type": "zero"}], "base": {"input_ids": [[1, 2, 3, 4]]}, "output_original_output": true})");
  const Outcome made = vene_command({"run", "-m", bundled_model(), "once.json", "-o", "once"}, {.folder = folder});
  ASSERT_EQ(made.status, 0) << made.err;
  const auto logits = vene::io::Safetensors::open(folder + "/once/once.safetensors").tensor("original.logits");
  vene::io::write_safetensors(folder + "/acts.safetensors",
                              {{"input_ids", torch::tensor({{1, 2, 3, 4}}, torch::kInt64)}, {"logits", logits}});
}

class Page : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const char* linked : {"assets", "examples", "tests", "scripts", "docs"})
      fs::create_directory_symlink(source_path(linked), folder_ / linked);
    fs::create_directory(folder_ / "build");
    fs::create_directory_symlink(fs::path(program_path("vene")).parent_path(), folder_ / "build/bin");
    fs::create_directory_symlink(bundled_model(), folder_ / "gpt2");
  }

  void run_commands(const Block& block) {
    std::string script, told;
    for (const std::string& line : lines_of(block.text)) {
      if (line.empty() || line.starts_with("#")) continue;
      told += line + "\n";
      if (!beyond_a_test(line)) script += line + "\n";
    }
    if (script.empty()) return;
    const Outcome outcome = shell("set -e\n" + script, {.folder = folder_.path()});
    EXPECT_EQ(outcome.status, 0) << GetParam() << ":" << block.line << "\n" << told << outcome.err;
  }

  void run_json(const Block& block) {
    const nlohmann::json json = nlohmann::json::parse(block.text, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(json.is_discarded()) << GetParam() << ":" << block.line << " is no JSON";
    const std::string name = "block_" + std::to_string(block.line);
    write_text(folder_ / (name + ".json"), block.text);
    std::vector<std::string> arguments;
    if (json.contains("axes")) {
      arguments = {"sweep", "-m", model_of(GetParam()), name + ".json", "--no-picture"};
    } else if (json.contains("examples")) {
      arguments = {"train", "-m", model_of(GetParam()), name + ".json", "--no-picture"};
    } else if (json.contains("template")) {
      arguments = {"locate", "-m", model_of(GetParam()), "--task", name + ".json", "--steps", "5", "--no-picture"};
    } else if (json.contains("clean")) {
      arguments = {"patch", "-m", model_of(GetParam()), "--pairs", name + ".json", "--no-picture"};
    } else {
      ASSERT_TRUE(json.contains("base")) << GetParam() << ":" << block.line << ": what is this JSON for?";
      arguments = {"run", "-m", model_of(GetParam()), name + ".json"};
    }
    arguments.insert(arguments.end(), {"-o", name});
    const Outcome outcome = vene_command(arguments, {.folder = folder_.path()});
    EXPECT_EQ(outcome.status, 0) << GetParam() << ":" << block.line << "\n" << outcome.err;
  }

  TestFolder folder_;
};

TEST_P(Page, CanBeFollowed) {
  static const std::set<std::string> kLanguages{"sh", "json", "cpp", "cmake", "python", ""};
  const std::vector<Block> blocks = blocks_of(GetParam());
  if (GetParam() == "docs/sharing.md") make_saved(folder_.path());
  if (GetParam() == "docs/models.md") make_reference(folder_.path());
  for (const Block& block : blocks) {
    if (!block.file.empty()) write_text(folder_ / block.file, block.text);
  }
  for (const Block& block : blocks) {
    EXPECT_TRUE(kLanguages.contains(block.language)) << GetParam() << ":" << block.line << ": " << block.language;
    // A command that is shown without a language would not be run.
    if (block.language.empty()) {
      EXPECT_FALSE(std::regex_search(block.text, std::regex("(^|\n)(build/bin/)?vene ")))
          << GetParam() << ":" << block.line;
    }
    if (block.language == "sh") run_commands(block);
    if (block.language == "json") run_json(block);
  }
}

std::vector<std::string> pages() {
  std::vector<std::string> names{"README.md", "CONTRIBUTING.md"};
  for (const auto& entry : fs::recursive_directory_iterator(source_path("docs"))) {
    if (entry.path().extension() == ".md") names.push_back(fs::relative(entry.path(), source_path(".")).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Docs, Page, testing::ValuesIn(pages()), [](const auto& page) {
  std::string name = page.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// The output that the page of the command shows beside its example is the command's.
TEST(DocsOutput, OfARunIsWhatThePageShows) {
  const TestFolder folder;
  const std::vector<Block> blocks = blocks_of("docs/command.md");
  const auto shown = std::find_if(blocks.begin(), blocks.end(), [](const Block& block) {
    return block.text.find("P(\" Rome\")") != std::string::npos;
  });
  ASSERT_NE(shown, blocks.end());
  ASSERT_NE(shown, blocks.begin());
  fs::create_directory_symlink(source_path("assets"), folder / "assets");
  fs::create_directory_symlink(source_path("examples"), folder / "examples");
  const Outcome outcome = shell(std::prev(shown)->text, {.folder = folder.path()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  // But for the last digit of a number, which is the machine's.
  const auto rounded = [](const std::string& text) {
    return std::regex_replace(text, std::regex("([0-9]\\.[0-9]{2})[0-9]*"), "$1");
  };
  EXPECT_EQ(rounded(outcome.out), rounded(shown->text));
}

}  // namespace
}  // namespace vene_test
