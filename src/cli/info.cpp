// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "src/base/json.h"
#include "src/cli/command.h"
#include "src/cli/saved.h"
#include "src/cli/say.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

void print_info(const std::string& folder, bool json, bool ignore_extra) {
  check_model_folder(folder);
  const models::CheckpointInfo info = models::inspect(
      folder, {.ignore_extra = ignore_extra, .warn = [](const std::string& warning) { note("warning: " + warning); }});
  if (json) {
    nlohmann::ordered_json entry{{"architecture", info.architecture},
                                 {"parameters", info.parameters},
                                 {"bytes", info.bytes},
                                 {"dtypes", info.dtypes},
                                 {"run_bytes", info.run_bytes},
                                 {"run_dtype", info.run_dtype},
                                 {"layers", info.layers},
                                 {"width", info.width},
                                 {"vocabulary", info.vocabulary},
                                 {"context", info.context}};
    entry["tokenizer"] = info.tokenizer.empty()
                             ? nlohmann::ordered_json()
                             : nlohmann::ordered_json{{"kind", info.tokenizer}, {"tokens", info.tokens}};
    std::printf("%s\n", detail::written_json(entry).c_str());
    return;
  }
  auto line = [](const char* name, const std::string& value) { std::printf("%-14s %s\n", name, value.c_str()); };
  line("architecture", info.architecture);
  line("parameters", grouped(info.parameters) + " (" + std::to_string((info.bytes + (1 << 19)) >> 20) + " MiB)");
  line("dtype", join(info.dtypes));
  line("to run", grouped(info.run_bytes) + " bytes of weights as " + info.run_dtype);
  line("layers", std::to_string(info.layers));
  line("width", std::to_string(info.width));
  if (info.vocabulary > 0) line("vocabulary", std::to_string(info.vocabulary));
  if (info.context > 0) line("context", std::to_string(info.context));
  line("tokenizer", info.tokenizer.empty() ? "none" : info.tokenizer + ", " + std::to_string(info.tokens) + " tokens");
}

}  // namespace

void add_info(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("info", "Say what a checkpoint folder holds: architecture, size, dtype, tokenizer");
  command->add_option("DIR,-m,--model", *folder, "Hugging Face checkpoint folder")
      ->required()
      ->envname("VENE_MODEL")
      ->option_text("DIR REQUIRED (Env:VENE_MODEL)");
  command->add_flag("--json", *json, "Print JSON");
  auto ignore_extra = std::make_shared<bool>(false);
  add_ignore_extra(*command, *ignore_extra);
  command->footer("Example: vene info assets/landmarks-gpt2");
  command->callback([folder, json, ignore_extra] { print_info(*folder, *json, *ignore_extra); });
}

}  // namespace vene::cli
