// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"
#include "src/core/generate_options.h"
#include "src/sweep/trace_options.h"
#include "src/train/locate_options.h"
#include "src/train/options.h"
#include "vene/config/intervenable_config.h"

namespace vene::cli {
namespace {

// Of a struct of options, from the descriptions that their readers and checks use.
template <class Options>
std::string described(const std::string& title, bool markdown) {
  const Options defaults;
  detail::DescribeOptions description;
  visit(defaults, description);
  if (markdown) return description.table();
  detail::OrderedJson schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "vene " + title}};
  const detail::Json described = description.schema();
  for (const auto& [key, value] : described.items()) schema[key] = value;
  return detail::written_json(schema) + "\n";
}

std::string text_of(const std::string& what, bool markdown) {
  if (what == "training") return described<train::TrainOptions>(what, markdown);
  if (what == "generation") return described<GenerateOptions>(what, markdown);
  if (what == "location") return described<LocateOptions>(what, markdown);
  if (what == "tracing") return described<CausalTraceOptions>(what, markdown);
  return (markdown ? config_reference() : config_schema()) + "\n";
}

}  // namespace

void add_schema(CLI::App& app) {
  struct Options {
    std::string what = "config";
    bool markdown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "schema", "Print the JSON schema of intervention configs, with every intervention and its options");
  command
      ->add_option("WHAT", options->what,
                   "Of what: config, or the options of training, generation, location or tracing")
      ->check(CLI::IsMember({"config", "training", "generation", "location", "tracing"}))
      ->option_text("NAME=config");
  command->add_flag("--markdown", options->markdown, "Print the reference page, or the table of the options, instead");
  command->footer("Example: vene schema > config.schema.json");
  command->callback([options] { std::fputs(text_of(options->what, options->markdown).c_str(), stdout); });
}

}  // namespace vene::cli
