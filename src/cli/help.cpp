// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"
#include "vene/base/names.h"
#include "vene/base/version.h"

namespace vene::cli {

std::string version_text() {
  const BuildInfo build = build_info();
  return "vene " + build.version + "\nLibTorch " + build.libtorch_version + ", CUDA " + build.cuda +
         (build.cuda_linked ? " (linked)" : " (not linked)") + ", C++11 ABI " + (build.cxx11_abi ? "1" : "0");
}

std::string unknown_command(const CLI::App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  return "unknown command '" + name + "'" + name_hint(name, names);
}

void add_help(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("help", "Explain a command, as its -h does; without one, list them all");
  command->add_option("COMMAND", *name, "The command")->option_text("NAME");
  command->footer("Example: vene help trace");
  command->callback([&app, name] {
    if (name->empty()) {
      // Asked itself, it would explain the command that is running: this one.
      std::fputs(app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal).c_str(), stdout);
      return;
    }
    for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (one->get_name() != *name) continue;
      std::fputs(one->help(app.get_name()).c_str(), stdout);
      return;
    }
    throw UsageError(unknown_command(app, *name));
  });
}

void add_version(CLI::App& app) {
  CLI::App* command = app.add_subcommand("version", "Say which version this is, and which LibTorch it uses");
  command->footer("Example: vene version");
  command->callback([] { std::printf("%s\n", version_text().c_str()); });
}

}  // namespace vene::cli
