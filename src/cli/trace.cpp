// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "src/cli/command.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/sweep/causal_trace.h"
#include "vene/viz/trace_maps.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelChoice model;
  CausalTraceOptions trace;
  std::string prompt;
  std::string target;
  std::string noise = "auto";
  std::string out;
  bool json = false;
  bool no_picture = false;
};

void trace(Options options, bool has_target) {
  if (options.noise != "auto") {
    char* end = nullptr;
    const double number = std::strtod(options.noise.c_str(), &end);
    if (options.noise.empty() || *end != '\0' || !std::isfinite(number) || number <= 0) {
      throw ConfigError("--noise: expected auto or a positive number, got '" + options.noise + "'");
    }
    options.trace.noise = number;
  }
  if (has_target) options.trace.target = options.target;
  const models::LanguageModel lm = options.model.load();
  CausalTrace result;
  {
    Progress progress("tracing");
    options.trace.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    result = causal_trace(lm, options.prompt, options.trace);
  }
  io::make_folder(options.out);
  const fs::path out(options.out);
  io::write_file((out / "trace.csv").string(), trace_csv(result));
  io::write_file((out / "trace.json").string(), trace_json(result));
  const std::vector<HeatMap> maps = trace_maps(result);
  std::string pictures;
  if (!options.no_picture) {
    const std::vector<std::string> paths{(out / "trace.png").string(), (out / "trace.svg").string()};
    if (gnuplot_available()) {
      draw_heat_maps(paths, maps, trace_title(result));
      pictures = paths[0];
    } else {
      std::fputs("vene: gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox); everything else is written\n", stderr);
    }
  }
  if (options.json) {
    std::fputs(trace_json(result).c_str(), stdout);
    return;
  }
  std::printf("%s\n\n", trace_title(result).c_str());
  for (const HeatMap& map : maps) std::printf("%s\n", terminal_heat_map(map, {stdout_is_terminal()}).c_str());
  std::printf("figures: %s\n", (out / "trace.csv").c_str());
  if (!pictures.empty()) std::printf("picture: %s\n", pictures.c_str());
}

}  // namespace

void add_trace(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("trace", "Causal tracing: where does the model keep the fact that completes a prompt?");
  options->model.add_to(*command);
  command->add_option("-p,--prompt", options->prompt, "The prompt")->required()->type_name("TEXT");
  command->add_option("--subject", options->trace.subject, "The words of the prompt that are noised")->type_name("TEXT");
  auto* target = command->add_option("--target", options->target, "The answer (default: the most probable next token)")->type_name("TEXT");
  command->add_option("--noise", options->noise, "Standard deviation of the noise, or auto: three times that of the token embeddings")->capture_default_str();
  command->add_option("--seed", options->trace.seed, "Seed of the noise (numpy's RandomState)")->capture_default_str();
  command->add_option("--samples", options->trace.samples, "Noise draws to average over")->capture_default_str()->check(CLI::Range(1, 100000));
  command->add_option("--streams", options->trace.streams, "Components to restore")->delimiter(',')->capture_default_str();
  command->add_option("--window", options->trace.window, "Layers restored together, for streams other than block_output")->capture_default_str()->check(CLI::Range(1, 100000));
  command->add_option("-o,--output", options->out, "Folder for trace.csv, trace.json, trace.png and trace.svg")->required()->type_name("DIR");
  command->add_flag("--json", options->json, "Print trace.json instead of the heat maps");
  command->add_flag("--no-picture", options->no_picture, "Don't draw trace.png and trace.svg");
  command->footer("Example: vene trace -m assets/landmarks-gpt2 -p 'The Space Needle is in downtown' --subject 'The Space Needle' -o out\n"
                  "The pyvene paper's settings: --noise 0.13462981581687927 --seed 1 --samples 1");
  command->callback([options, target] { trace(*options, target->count() > 0); });
}

}  // namespace vene::cli
