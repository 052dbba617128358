// SPDX-License-Identifier: Apache-2.0
// What the command says of itself to shells and to man.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "unit/cli/child.h"

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using vene_test::lines_of;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;

const std::vector<std::string> kCommands{
    "info",     "sites",        "schema", "tokenize", "run",  "trace", "patch",      "ablate", "train",   "locate",
    "generate", "steer-vector", "verify", "inspect",  "push", "pull",  "completion", "man",    "collect", "sweep"};

// What bash offers where the last of these words is being written, in a folder with a file and a folder.
std::vector<std::string> offered(const std::vector<std::string>& words) {
  const TestFolder folder;
  vene_test::write_text(folder / "spec one.json", "{}");
  std::filesystem::create_directory(folder / "spec folder");
  static const std::string kCompletion = vene_command({"completion", "bash"}).out;
  std::string script = kCompletion + "COMP_WORDS=(";
  for (const std::string& word : words) script += " '" + word + "'";
  script += "); COMP_CWORD=" + std::to_string(words.size() - 1) +
            "; _vene; for reply in \"${COMPREPLY[@]}\"; do echo \"$reply\"; done";
  vene_test::write_text(folder / "ask", script);
  const Outcome outcome = vene_test::shell("bash ask", {.folder = folder.path()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, IsEmpty());
  return lines_of(outcome.out);
}

bool has_program(const std::string& name) {
  return vene_test::shell("command -v " + name + " > found", {.folder = testing::TempDir()}).status == 0;
}

TEST(Completion, BashOffersSubcommands) {
  EXPECT_THAT(offered({"vene", ""}), IsSupersetOf(kCommands));
  EXPECT_THAT(offered({"vene", "tr"}), ElementsAre("trace", "train"));
  EXPECT_THAT(offered({"vene", "--v"}), ElementsAre("--version"));
  EXPECT_THAT(offered({"vene", "nonsense", ""}), IsEmpty());
}

TEST(Completion, BashOffersEveryOptionOfEveryCommand) {
  for (const std::string& command : kCommands) {
    const std::vector<std::string> names = offered({"vene", command, "--"});
    EXPECT_THAT(names, Contains("--help")) << command;
    std::size_t in_help = 0;
    for (const std::string& line : lines_of(vene_command({command, "-h"}).out)) {
      const std::size_t at = line.find("--");
      if (!line.starts_with("  -") || at == std::string::npos) continue;
      EXPECT_THAT(names, Contains(line.substr(at, line.find(' ', at) - at))) << command;
      ++in_help;
    }
    EXPECT_EQ(names.size(), in_help) << command;
  }
}

TEST(Completion, BashOffersTheValuesOfOptions) {
  EXPECT_THAT(offered({"vene", "run", "--dtype", ""}), ElementsAre("float32", "bfloat16", "float16"));
  EXPECT_THAT(offered({"vene", "run", "--dtype", "=", "bf"}), ElementsAre("bfloat16"));
  EXPECT_THAT(offered({"vene", "run", "--dtype", "="}), ElementsAre("float32", "bfloat16", "float16"));
  EXPECT_THAT(offered({"vene", "steer-vector", "--method", ""}), ElementsAre("mean", "pca"));
  EXPECT_THAT(offered({"vene", "completion", ""}), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(offered({"vene", "trace", "--prompt", ""}), IsEmpty());
}

TEST(Completion, BashOffersFilesAndFoldersWithSpacesInTheirNames) {
  EXPECT_THAT(offered({"vene", "info", "-m", "sp"}), ElementsAre("spec folder"));
  EXPECT_THAT(offered({"vene", "info", "sp"}), ElementsAre("spec folder"));
  EXPECT_THAT(offered({"vene", "train", "sp"}), testing::UnorderedElementsAre("spec folder", "spec one.json"));
  EXPECT_THAT(offered({"vene", "locate", "--task", "spec o"}), ElementsAre("spec one.json"));
}

TEST(Completion, EveryShellReadsItsScript) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = vene_command({"completion", shell}).out;
    for (const std::string& command : kCommands) EXPECT_THAT(script, HasSubstr(command)) << shell;
    EXPECT_THAT(script, HasSubstr("bfloat16")) << shell;
    if (!has_program(shell)) continue;  // bash is there; the others where they are installed
    const Outcome read =
        vene_test::shell(std::string("vene completion ") + shell + " > script && " + shell + " -n script",
                         {.folder = testing::TempDir()});
    EXPECT_EQ(read.status, 0) << shell << ": " << read.err;
    EXPECT_THAT(read.err, IsEmpty()) << shell;
  }
  const Outcome other = vene_command({"completion", "tcsh"});
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err, HasSubstr("SHELL"));
}

TEST(Manual, HasEveryCommandWithItsOptionsAndNoLineThatManStumblesOver) {
  const Outcome manual = vene_command({"man"});
  EXPECT_EQ(manual.status, 0);
  for (const std::string& command : kCommands) {
    std::string name = command;
    if (const std::size_t hyphen = name.find('-'); hyphen != std::string::npos) name.insert(hyphen, "\\");
    EXPECT_THAT(manual.out, HasSubstr(".SS vene " + name + "\n"));
  }
  EXPECT_THAT(manual.out, HasSubstr("\\fB\\-\\-no\\-picture\\fR"));
  EXPECT_THAT(manual.out, HasSubstr(".SH EXIT STATUS"));
  if (!has_program("groff")) return;
  const Outcome page = vene_test::shell("vene man | groff -man -ww -Tutf8 -P-c", {.folder = testing::TempDir()});
  EXPECT_EQ(page.status, 0);
  EXPECT_THAT(page.err, IsEmpty());
  EXPECT_THAT(page.out, HasSubstr("The words of the prompt that are noised"));
  EXPECT_THAT(page.out, Not(HasSubstr("\\fB")));
}

}  // namespace
