// SPDX-License-Identifier: Apache-2.0
#include "src/cli/describe.h"

#include <algorithm>
#include <map>

namespace vene::cli {
namespace {

// Options whose values are words that their checks, not their types, know.
const std::map<std::string, std::vector<std::string>> kWordsOf{{"--device", {"cpu", "cuda"}},
                                                               {"--dtype", {"float32", "bfloat16", "float16"}},
                                                               {"--when", {"prompt", "decode", "both"}}};

// "bash|zsh|fish" or "TEXT:{mean,pca}=mean" -> its words. Placeholders are capitals: auto|NUMBER leaves auto.
std::vector<std::string> words_in(std::string text) {
  const std::size_t open = text.find('{');
  if (open != std::string::npos) {
    text = text.substr(open + 1, text.find('}', open) - open - 1);
  } else {
    text = text.substr(0, text.find_first_of("= "));
    if (text.find('|') == std::string::npos) return {};
  }
  std::vector<std::string> words;
  std::string word;
  for (char c : text + ",") {
    if (c != ',' && c != '|') {
      word += c;
      continue;
    }
    if (!word.empty() && std::none_of(word.begin(), word.end(), [](char at) { return at >= 'A' && at <= 'Z'; }))
      words.push_back(word);
    word.clear();
  }
  return words;
}

ValueKind kind_of(const std::string& value) {
  const std::string placeholder = value.substr(0, value.find_first_of("[:= "));
  if (placeholder == "DIR") return ValueKind::kFolder;
  if (placeholder == "FILE" || placeholder == "JSON" || placeholder == "GGUF") return ValueKind::kFile;
  return ValueKind::kAnything;
}

OptionText describe(const CLI::Option& option, bool positional) {
  OptionText text;
  text.description = option.get_description();
  if (positional) {
    text.names = {option.get_name(true)};
  } else {
    for (const std::string& name : option.get_snames()) text.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) text.names.push_back("--" + name);
  }
  std::string value = CLI::Formatter().make_option_opts(&option);
  value.erase(0, value.find_first_not_of(' '));
  if (option.get_items_expected_max() == 0) return text;  // a flag; "Excludes: --json" is not a value
  text.value = value;
  text.repeated = option.get_items_expected_max() > 1;
  text.kind = kind_of(value);
  const auto known = text.names.empty() ? kWordsOf.end() : kWordsOf.find(text.names.back());
  text.words = known != kWordsOf.end() ? known->second : words_in(value);
  if (!text.words.empty()) text.kind = ValueKind::kWords;
  return text;
}

CommandText describe_command(const CLI::App& app, bool root) {
  CommandText command{.name = root ? std::string() : app.get_name(),
                      .description = app.get_description(),
                      .footer = app.get_footer(),
                      .options = {},
                      .positionals = {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) command.positionals.push_back(describe(*option, true));
    if (option->nonpositional()) command.options.push_back(describe(*option, false));
  }
  return command;
}

}  // namespace

std::vector<CommandText> describe(const CLI::App& app) {
  std::vector<CommandText> commands{describe_command(app, true)};
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(describe_command(*sub, false));
  return commands;
}

}  // namespace vene::cli
