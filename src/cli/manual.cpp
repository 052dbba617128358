// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"
#include "src/cli/describe.h"
#include "vene/base/version.h"

namespace vene::cli {
namespace {

// Text as roff reads it: no line of it is a request, and a hyphen stays the one of options.
std::string roff(const std::string& text) {
  std::string out;
  bool line_begins = true;
  for (char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string entry(const OptionText& option) {
  std::string names;
  for (const std::string& name : option.names) names += (names.empty() ? "\\fB" : ", \\fB") + roff(name) + "\\fR";
  if (!option.value.empty() && option.value != option.names[0]) names += " " + roff(option.value);
  return ".TP\n" + names + "\n" + roff(option.description) + "\n";
}

// The lines of a footer, each as it stands.
std::string example(const std::string& footer) {
  return footer.empty() ? "" : ".PP\n.nf\n" + roff(footer) + "\n.fi\n";
}

std::string section(const CommandText& command) {
  std::string text = ".SS vene " + roff(command.name) + "\n" + roff(command.description) + "\n";
  for (const OptionText& positional : command.positionals) text += entry(positional);
  for (const OptionText& option : command.options) {
    if (option.names.front() != "-h") text += entry(option);
  }
  return text + example(command.footer);
}

std::string manual(const std::vector<CommandText>& commands) {
  const CommandText& program = commands.front();
  std::string text = "'\\\" made by `vene man`\n.TH VENE 1 \"\" \"vene " + build_info().version +
                     "\" \"User Commands\"\n"
                     ".SH NAME\nvene \\- interventions on neural networks\n"
                     ".SH SYNOPSIS\n\\fBvene\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
                     ".SH DESCRIPTION\n" +
                     roff(program.description) +
                     "\nData goes to standard output; warnings, progress and errors to standard error.\n"
                     ".SH OPTIONS\n";
  for (const OptionText& option : program.options) text += entry(option);
  text += ".SH COMMANDS\nEach explains itself, with an example: \\fBvene\\fR \\fICOMMAND\\fR \\fB\\-h\\fR.\n";
  for (const CommandText& command : commands) {
    if (!command.name.empty()) text += section(command);
  }
  return text +
         ".SH ENVIRONMENT\n"
         ".TP\n\\fBVENE_MODEL\\fR, \\fBVENE_DEVICE\\fR, \\fBVENE_THREADS\\fR\n"
         "What \\fB\\-\\-model\\fR, \\fB\\-\\-device\\fR and \\fB\\-\\-threads\\fR are where they are not given.\n"
         ".TP\n\\fBNO_COLOR\\fR\nNo colour in the terminal.\n"
         ".SH EXIT STATUS\n"
         ".TP\n0\nDone.\n.TP\n1\nFailed.\n.TP\n2\nThe command line is wrong.\n";
}

}  // namespace

void add_man(CLI::App& app) {
  CLI::App* command = app.add_subcommand("man", "Print this program's manual page, as man reads it");
  command->footer("Example: vene man > vene.1");
  command->callback([&app] { std::fputs(manual(describe(app)).c_str(), stdout); });
}

}  // namespace vene::cli
