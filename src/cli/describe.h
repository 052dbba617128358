// SPDX-License-Identifier: Apache-2.0
// The commands and their options as the parser knows them, for the manual page and the shells' completions.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace vene::cli {

/// What a shell offers for an option's value.
enum class ValueKind : std::uint8_t { kNone, kAnything, kWords, kFile, kFolder };

struct OptionText {
  std::vector<std::string> names;  ///< "-m", "--model"; for a positional argument its name, "DIR"
  std::string value;               ///< as help has it: "DIR REQUIRED (Env:VENE_MODEL)"; empty for a flag
  std::string description;
  ValueKind kind = ValueKind::kNone;
  std::vector<std::string> words;  ///< the values, where they are a few words
  bool repeated = false;           ///< takes several values
};

struct CommandText {
  std::string name, description, footer;
  std::vector<OptionText> options, positionals;
};

/// The program itself first, with an empty name, and then its subcommands in the order of its help.
std::vector<CommandText> describe(const CLI::App& app);

/// The script that teaches a shell (bash, zsh, fish) the commands and their options.
std::string bash_completion(const std::vector<CommandText>& commands);
std::string zsh_completion(const std::vector<CommandText>& commands);
std::string fish_completion(const std::vector<CommandText>& commands);

}  // namespace vene::cli
