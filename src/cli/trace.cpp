// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdlib>

#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "vene/io/files.h"
#include "vene/sweep/causal_trace.h"
#include "vene/viz/trace_maps.h"

namespace vene::cli {
namespace {

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

// What is wrong with --noise; empty where nothing is.
std::string noise_problem(const std::string& noise) {
  if (noise == "auto") return "";
  char* end = nullptr;
  const double number = std::strtod(noise.c_str(), &end);
  return !noise.empty() && *end == '\0' && std::isfinite(number) && number > 0
             ? ""
             : "expected auto or a positive number, got '" + noise + "'";
}

void trace(Options options, bool has_target) {
  if (options.noise != "auto") options.trace.noise = std::strtod(options.noise.c_str(), nullptr);
  if (has_target) options.trace.target = options.target;
  // First, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  CausalTrace result;
  {
    Progress progress("tracing");
    options.trace.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    result = causal_trace(lm, options.prompt, options.trace);
  }
  result.model = options.model.folder;
  const std::string json = trace_json(result);
  const std::vector<HeatMap> maps = trace_maps(result);
  out.write("trace.csv", [&](const std::string& path) { io::write_file(path, trace_csv(result)); });
  out.write("trace.json", [&](const std::string& path) { io::write_file(path, json); });
  const std::vector<std::string> pictures =
      options.no_picture ? std::vector<std::string>{} : draw_maps(out, "trace", maps, trace_title(result));
  std::string said = trace_title(result) + "\n\n";
  for (const HeatMap& map : maps) said += terminal_heat_map(map, {stdout_has_colour()}) + "\n";
  said += "figures: " + out.path("trace.csv") + ", " + out.path("trace.json") + "\n";
  if (!pictures.empty()) said += "picture: " + out.path(pictures[0]) + ", " + out.path(pictures[1]) + "\n";
  out.commit(options.json ? json : said);
}

}  // namespace

void add_trace(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("trace", "Causal tracing: where does the model keep the fact that completes a prompt?");
  options->model.add_to(*command);
  command->add_option("-p,--prompt", options->prompt, "The prompt")->required()->type_name("TEXT");
  command->add_option("--subject", options->trace.subject, "The words of the prompt that are noised")
      ->type_name("TEXT");
  auto* target = command
                     ->add_option("--target", options->target,
                                  "The answer, of which the first token counts (default: the most probable next token)")
                     ->type_name("TEXT");
  command
      ->add_option("--noise", options->noise,
                   "Standard deviation of the noise; auto is three times that of the token embeddings")
      ->option_text("auto|NUMBER=auto")
      ->check(noise_problem);
  command->add_option("--seed", options->trace.seed, "Seed of the noise (numpy's RandomState)")
      ->check(not_a_count)
      ->option_text("N=1");
  command->add_option("--samples", options->trace.samples, "Noise draws to average over")
      ->check(CLI::Range(1, 100000))
      ->option_text("N=10");
  command
      ->add_option("--streams", options->trace.streams,
                   "Components to restore, joined by commas (default: block_output,mlp_activation,attention_output)")
      ->delimiter(',')
      ->option_text("NAMES");
  command
      ->add_option("--window", options->trace.window, "Layers restored together, for streams other than block_output")
      ->check(CLI::Range(1, 100000))
      ->option_text("N=10");
  command
      ->add_option("--rows", options->trace.rows_per_batch,
                   "Runs side by side in a batch (default: what fits into 512 MiB, 128 at most; a GPU may like more)")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command->add_option("-o,--output", options->out, "Folder for trace.csv, trace.json, trace.png and trace.svg")
      ->required()
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print trace.json instead of the heat maps");
  command->add_flag("--no-picture", options->no_picture, "Don't draw trace.png and trace.svg");
  command->footer(
      "Example: vene trace -m assets/landmarks-gpt2 -p 'The Space Needle is in downtown' --subject 'The Space Needle' "
      "-o out\n"
      "The pyvene paper's settings: --noise 0.13462981581687927 --seed 1 --samples 1");
  command->callback([options, target] { trace(*options, target->count() > 0); });
}

}  // namespace vene::cli
