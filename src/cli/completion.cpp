// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/cli/command.h"
#include "src/cli/describe.h"

namespace vene::cli {
namespace {

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string replaced(const std::string& text, const std::string& these, const std::string& before) {
  std::string out;
  for (char c : text) out += these.find(c) == std::string::npos ? std::string(1, c) : before + c;
  return out;
}

// One word of a shell, whatever is in it.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<std::string> names_of(const std::vector<CommandText>& commands) {
  std::vector<std::string> names;
  for (const CommandText& command : commands) {
    if (!command.name.empty()) names.push_back(command.name);
  }
  return names;
}

// --- bash ---------------------------------------------------------------------------------------

std::string bash_values(const OptionText& option) {
  switch (option.kind) {
    case ValueKind::kWords:
      return "words=\"" + joined(option.words, " ") + "\"";
    case ValueKind::kFile:
      return "paths=-f";
    case ValueKind::kFolder:
      return "paths=-d";
    case ValueKind::kAnything:
    case ValueKind::kNone:
      break;
  }
  return "return";
}

// The options' values, then what may stand where no option is: names of options, words, paths.
std::string bash_case(const CommandText& command) {
  std::string values;
  std::vector<std::string> names;
  for (const OptionText& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
    if (option.kind != ValueKind::kNone)
      values += "        " + joined(option.names, "|") + ") " + bash_values(option) + " ;;\n";
  }
  std::string otherwise = "words=\"" + joined(names, " ") + "\"";
  std::string rest;
  for (const OptionText& positional : command.positionals) {
    if (positional.kind == ValueKind::kWords) rest = "words=\"" + joined(positional.words, " ") + "\"";
    if (positional.kind == ValueKind::kFolder && rest.empty()) rest = "paths=-d";
    if (positional.kind == ValueKind::kFile) rest = "paths=-f";
  }
  if (!rest.empty()) otherwise = "if [[ $word == -* ]]; then " + otherwise + "; else " + rest + "; fi";
  return "    " + command.name + ")\n      case $before in\n" + values + "        *) " + otherwise +
         " ;;\n      esac ;;\n";
}

}  // namespace

std::string bash_completion(const std::vector<CommandText>& commands) {
  std::vector<std::string> first = names_of(commands);
  std::string cases;
  for (const CommandText& command : commands) {
    if (!command.name.empty()) cases += bash_case(command);
    if (!command.name.empty()) continue;
    for (const OptionText& option : command.options)
      first.insert(first.end(), option.names.begin(), option.names.end());
  }
  return "# bash completion of vene; made by `vene completion bash`\n"
         "_vene() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= words= paths= i\n"
         "  COMPREPLY=()\n"
         "  # --name=value comes as three words.\n"
         "  if [[ $word == '=' ]]; then word=; elif [[ $before == '=' ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    if [[ ${COMP_WORDS[i]} != -* ]]; then command=${COMP_WORDS[i]}; break; fi\n"
         "  done\n"
         "  case $command in\n"
         "    '') words=\"" +
         joined(first, " ") + "\" ;;\n" + cases +
         "    *) return ;;\n"
         "  esac\n"
         "  if [[ -n $paths ]]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    mapfile -t COMPREPLY < <(compgen $paths -- \"$word\")\n"
         "  else\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
         "  fi\n"
         "}\n"
         "complete -F _vene vene\n";
}

// --- zsh ------------------------------------------------------------------------------------------
namespace {

std::string zsh_action(const OptionText& option) {
  switch (option.kind) {
    case ValueKind::kWords:
      return "(" + joined(option.words, " ") + ")";
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kAnything:
    case ValueKind::kNone:
      break;
  }
  return " ";
}

std::string zsh_option(const OptionText& option) {
  std::string rest = "[" + replaced(option.description, "[]:\\", "\\") + "]";
  if (option.kind != ValueKind::kNone) rest += ":value:" + zsh_action(option);
  std::string line;
  for (const std::string& name : option.names) {
    // Names of one option shut each other out, unless it may be given again.
    const std::string before = option.repeated           ? "*"
                               : option.names.size() > 1 ? "(" + joined(option.names, " ") + ")"
                                                         : "";
    line += " \\\n        " + quoted(before + name + rest);
  }
  return line;
}

std::string zsh_positional(const OptionText& positional, std::size_t place) {
  return " \\\n        " + quoted((positional.repeated ? "*" : std::to_string(place)) + ":" +
                                  replaced(positional.names[0], ":\\", "\\") + ":" + zsh_action(positional));
}

}  // namespace

std::string zsh_completion(const std::vector<CommandText>& commands) {
  std::string names, cases, own;
  for (const CommandText& command : commands) {
    std::string arguments;
    for (const OptionText& option : command.options) arguments += zsh_option(option);
    if (command.name.empty()) {
      own = arguments;
      continue;
    }
    for (std::size_t i = 0; i < command.positionals.size(); ++i)
      arguments += zsh_positional(command.positionals[i], i + 1);
    names += "    " + quoted(command.name + ":" + replaced(command.description, ":\\", "\\")) + "\n";
    cases += "      " + command.name + ")\n        _arguments" + arguments + " ;;\n";
  }
  return "#compdef vene\n"
         "# zsh completion of vene; made by `vene completion zsh`\n"
         "_vene() {\n"
         "  local curcontext=$curcontext state line\n"
         "  typeset -A opt_args\n"
         "  local -a commands=(\n" +
         names + "  )\n  _arguments -C" + own +
         " \\\n        '1:command:->command' \\\n        '*::argument:->argument'\n"
         "  case $state in\n"
         "    command) _describe command commands ;;\n"
         "    argument)\n"
         "      case $words[1] in\n" +
         cases +
         "      esac ;;\n"
         "  esac\n"
         "}\n"
         "if [[ $funcstack[1] == _vene ]]; then _vene \"$@\"; else compdef _vene vene; fi\n";
}

// --- fish -----------------------------------------------------------------------------------------
namespace {

// fish leaves \ and ' to be escaped within single quotes, and nothing else.
std::string fish_quoted(const std::string& text) {
  return "'" + replaced(text, "\\'", "\\") + "'";
}

std::string fish_values(const OptionText& option) {
  switch (option.kind) {
    case ValueKind::kWords:
      return " -a " + fish_quoted(joined(option.words, " "));
    case ValueKind::kFile:
      return " -F";
    case ValueKind::kFolder:
      return " -a '(__fish_complete_directories)'";
    case ValueKind::kAnything:
    case ValueKind::kNone:
      break;
  }
  return "";
}

}  // namespace

std::string fish_completion(const std::vector<CommandText>& commands) {
  std::string text = "# fish completion of vene; made by `vene completion fish`\ncomplete -c vene -f\n";
  for (const CommandText& command : commands) {
    const std::string seen =
        command.name.empty() ? " -n __fish_use_subcommand" : " -n '__fish_seen_subcommand_from " + command.name + "'";
    if (!command.name.empty())
      text += "complete -c vene -n __fish_use_subcommand -a " + command.name + " -d " +
              fish_quoted(command.description) + "\n";
    for (const OptionText& option : command.options) {
      text += "complete -c vene" + seen;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (option.kind != ValueKind::kNone) text += " -r" + fish_values(option);
      text += " -d " + fish_quoted(option.description) + "\n";
    }
    for (const OptionText& positional : command.positionals) {
      const std::string values = fish_values(positional);
      if (!values.empty()) text += "complete -c vene" + seen + values + "\n";
    }
  }
  return text;
}

void add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print the completion script of a shell");
  command->add_option("SHELL", *shell, "The shell")
      ->required()
      ->option_text("bash|zsh|fish REQUIRED")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Example: vene completion bash > vene.bash");
  command->callback([&app, shell] {
    const std::vector<CommandText> commands = describe(app);
    const std::string script = *shell == "bash"  ? bash_completion(commands)
                               : *shell == "zsh" ? zsh_completion(commands)
                                                 : fish_completion(commands);
    std::fputs(script.c_str(), stdout);
  });
}

}  // namespace vene::cli
