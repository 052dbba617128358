// SPDX-License-Identifier: Apache-2.0
// The pages say what the command does: options, schema, messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "unit/cli/child.h"

namespace {

using testing::HasSubstr;
using vene_test::read_text;
using vene_test::source_path;
namespace fs = std::filesystem;

TEST(Docs, ConfigPageIsPrintedByTheSchemaCommand) {
  EXPECT_EQ(vene_test::vene_command({"schema", "--markdown"}).out, read_text(source_path("docs/config.md")));
}

TEST(Docs, TablesOfOptionsArePrintedByTheSchemaCommand) {
  const std::vector<std::pair<std::string, std::string>> pages{{"training", "docs/training.md"},
                                                               {"generation", "docs/experiment.md"},
                                                               {"location", "docs/locate.md"},
                                                               {"tracing", "docs/guide.md"}};
  for (const auto& [what, page] : pages) {
    const std::string table = vene_test::vene_command({"schema", what, "--markdown"}).out;
    EXPECT_GT(vene_test::lines_of(table).size(), 8U) << table;
    EXPECT_THAT(read_text(source_path(page)), HasSubstr("\n" + table)) << "vene schema " << what << " --markdown";
    const auto schema = nlohmann::json::parse(vene_test::vene_command({"schema", what}).out);
    for (const auto& [name, property] : schema["properties"].items()) {
      EXPECT_THAT(table, HasSubstr("\n| `" + name + "` | "));
      EXPECT_TRUE(property.contains("type") && property.contains("description")) << name;
    }
  }
}

TEST(Docs, EveryOptionOfEveryCommandIsOnItsPage) {
  const std::string page = read_text(source_path("docs/command.md"));
  for (const char* command : {"info", "sites", "schema", "tokenize", "run", "trace", "patch", "ablate", "sweep",
                              "train", "locate", "collect", "inspect", "push", "pull", "completion", "man"}) {
    const std::size_t begin = page.find("\n## vene " + std::string(command) + "\n");
    ASSERT_NE(begin, std::string::npos) << command;
    const std::string section = page.substr(begin, page.find("\n## ", begin + 1) - begin);
    const std::string help = vene_test::vene_command({command, "-h"}).out;
    static const std::regex kOption("\n  (?:-[a-z],)?(--[a-z0-9-]+)");
    for (auto found = std::sregex_iterator(help.begin(), help.end(), kOption); found != std::sregex_iterator();
         ++found) {
      const std::string option = (*found)[1];
      // Those that every command has are said once, at the head of the page.
      const bool common = option == "--help" || option == "--model" || option == "--device" || option == "--dtype" ||
                          option == "--threads" || option == "--tf32" || option == "--ignore-extra" ||
                          option == "--json" || option == "--quiet" || option == "--verbose";
      EXPECT_THAT(common ? page : section, HasSubstr("`" + option)) << "vene " << command;
    }
  }
}

// All sources, with string literals that go over several lines joined.
std::string sources() {
  std::string all;
  for (const char* folder : {"src", "models", "include"}) {
    for (const auto& entry : fs::recursive_directory_iterator(source_path(folder))) {
      if (entry.is_regular_file()) all += read_text(entry.path().string());
    }
  }
  return std::regex_replace(all, std::regex("\"\\s*\n\\s*\""), "");
}

// Pieces of a message that do not change from case to case.
std::vector<std::string> fixed_pieces(const std::string& message) {
  static const std::regex kChanging(R"('[^']*'|"[^"]*"|[0-9]+|\[|\]|\.\.\.|: |expected |, got )");
  std::vector<std::string> pieces;
  for (auto piece = std::sregex_token_iterator(message.begin(), message.end(), kChanging, -1);
       piece != std::sregex_token_iterator(); ++piece) {
    std::string text = *piece;
    text.erase(0, text.find_first_not_of(' '));
    text.erase(text.find_last_not_of(' ') + 1);
    if (text.size() >= 8 && text.find(' ') != std::string::npos) pieces.push_back(text);
  }
  return pieces;
}

// Whether a piece is written out somewhere, in whole or, where a message is put together, in two parts.
bool stands_in(const std::string& all, const std::string& piece) {
  if (all.find(piece) != std::string::npos) return true;
  for (std::size_t space = piece.find(' '); space != std::string::npos; space = piece.find(' ', space + 1)) {
    const std::string first = piece.substr(0, space), second = piece.substr(space + 1);
    if (first.size() >= 4 && second.size() >= 4 && all.find(first) != std::string::npos &&
        all.find(second) != std::string::npos)
      return true;
  }
  return false;
}

TEST(Docs, EveryMessageOfTheErrorPageStandsInTheSources) {
  const std::string all = sources();
  const std::vector<std::string> of_the_system{"No such file or directory", "No space left on device",
                                               "Permission denied"};
  int checked = 0;
  for (const std::string& line : vene_test::lines_of(read_text(source_path("docs/errors.md")))) {
    if (!line.starts_with("| `")) continue;
    const std::string message = line.substr(3, line.find('`', 3) - 3);
    for (const std::string& piece : fixed_pieces(message)) {
      if (std::find(of_the_system.begin(), of_the_system.end(), piece) != of_the_system.end()) continue;
      EXPECT_TRUE(stands_in(all, piece)) << "docs/errors.md: `" << message << "`: nothing says '" << piece << "'";
      ++checked;
    }
  }
  EXPECT_GT(checked, 30);
}

}  // namespace
