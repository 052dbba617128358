// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"
#include "vene/config/intervenable_config.h"

namespace vene::cli {

void add_schema(CLI::App& app) {
  auto markdown = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "schema", "Print the JSON schema of intervention configs, with every intervention and its options");
  command->add_flag("--markdown", *markdown, "Print the reference page instead");
  command->footer("Example: vene schema > config.schema.json");
  command->callback([markdown] { std::printf("%s\n", (*markdown ? config_reference() : config_schema()).c_str()); });
}

}  // namespace vene::cli
