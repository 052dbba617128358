// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdlib>

#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "vene/base/names.h"
#include "vene/io/files.h"
#include "vene/sweep/average_trace.h"
#include "vene/sweep/causal_trace.h"
#include "vene/viz/trace_maps.h"

namespace vene::cli {
namespace {

struct Options {
  ModelChoice model;
  CausalTraceOptions trace;
  std::string prompt;
  std::string prompts;  // a file of many
  std::int64_t bootstrap = 1000;
  std::string ids;
  std::string target;
  std::string noise = "auto";
  std::string out;
  std::string scale = "own";
  std::int64_t occurrence = 0, target_id = 0;
  PictureChoice picture;
  bool json = false;
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

std::string without_space(const std::string& text) {
  return text.starts_with(' ') ? text.substr(1) : text;
}

MapScale scale_of(const std::string& name) {
  return name == "shared" ? MapScale::kShared : name == "corrupted" ? MapScale::kCorrupted : MapScale::kOwn;
}

// The streams that are restored over several layers, such as "mlp_activation and attention_output"; empty: none is.
std::string windowed(const CausalTrace& trace) {
  std::vector<std::string> names;
  for (const CausalTrace::Stream& stream : trace.streams) {
    if (stream.component != "block_output") names.push_back(stream.component);
  }
  return join(names);
}

void tell_wide_window(const CausalTrace& trace, std::int64_t window) {
  const std::int64_t layers = trace.streams.front().probability.size(0);
  if (windowed(trace).empty() || 2 * window < layers) return;
  note("warning: a window of " + std::to_string(window) + " restores " +
       (window < layers ? "half of the " + std::to_string(layers) + " layers or more"
                        : "all " + std::to_string(layers) + " layers") +
       " together, so the columns of its maps hardly differ; --window " + std::to_string(usual_window(layers)) +
       " suits this model");
}

std::string window_line(const Options& options, const std::vector<std::string>& streams, std::int64_t layers) {
  std::vector<std::string> names;
  for (const std::string& stream : streams) {
    if (stream != "block_output") names.push_back(stream);
  }
  if (options.trace.window > 0 || names.empty()) return "";
  return "window: " + std::to_string(usual_window(layers)) + " of " + std::to_string(layers) +
         " layers, a fifth, for " + join(names) + " (--window N)\n";
}

// The files of a trace, of one prompt or many, and what is said of them.
template <class Trace>
void write_trace(OutputFolder& out, const Options& options, const Trace& result, const std::string& csv,
                 const std::string& json, const std::string& window) {
  const std::vector<HeatMap> maps = trace_maps(result, scale_of(options.scale));
  out.write("trace.csv", [&](const std::string& path) { io::write_file(path, csv); });
  out.write("trace.json", [&](const std::string& path) { io::write_file(path, json); });
  const std::vector<std::string> pictures = draw_maps(out, "trace", maps, trace_title(result), options.picture);
  Interruptible::check();
  out.commit(options.json ? json
             : loudness().quiet
                 ? ""
                 : trace_title(result) + "\n\n" + terminal_maps(maps) + window + "numbers: " + out.path("trace.csv") +
                       ", " + out.path("trace.json") + "\n" + picture_line(out, pictures));
}

void trace_many(Options options, const CLI::App& command) {
  for (const char* name : {"--ids", "--subject", "--occurrence", "--target", "--subject-positions", "--target-id"}) {
    if (command.get_option(name)->count() > 0)
      throw ConfigError(std::string(name) + ": is of one prompt; in the file of --prompts each line has its own");
  }
  if (options.noise != "auto") options.trace.noise = std::strtod(options.noise.c_str(), nullptr);
  const std::vector<TracePrompt> prompts = load_trace_prompts(options.prompts);
  const Interruptible stops;
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  const Timed tracing("prompts: traced");
  AverageTrace result = Interruptible::run([&] {
    Progress progress("prompts");
    AverageTraceOptions average;
    average.trace = options.trace;
    average.bootstrap = options.bootstrap;
    average.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    return average_trace(lm, prompts, average);
  });
  tracing.done();
  result.model = options.model.folder;
  std::vector<std::string> streams;
  for (const AverageTrace::Stream& stream : result.streams) streams.push_back(stream.component);
  write_trace(out, options, result, average_trace_csv(result), average_trace_json(result),
              window_line(options, streams, result.streams.front().effect.size(0)));
}

void trace(Options options, const CLI::App& command) {
  if (!options.prompts.empty()) return trace_many(std::move(options), command);
  if (command.get_option("--bootstrap")->count() > 0)
    throw UsageError("--bootstrap draws prompts, and there is one; give --prompts");
  const auto given = [&](const char* name) { return command.get_option(name)->count() > 0; };
  if (options.noise != "auto") options.trace.noise = std::strtod(options.noise.c_str(), nullptr);
  if (given("--target")) options.trace.target = options.target;
  if (given("--occurrence")) options.trace.occurrence = options.occurrence;
  const bool by_ids = given("--ids");
  if (by_ids == given("--prompt"))
    throw UsageError(by_ids ? "--ids and --prompt are two ways to give a prompt; give one"
                            : "give a prompt: --prompt TEXT, --ids 3,14,15 or a file of prompts, --prompts FILE");
  for (const char* text : {"--subject", "--target", "--occurrence"}) {
    if (by_ids && given(text))
      throw UsageError(std::string(text) + " goes with --prompt; --ids takes --subject-positions and --target-id");
  }
  for (const char* number : {"--subject-positions", "--target-id"}) {
    if (!by_ids && given(number)) throw UsageError(std::string(number) + " goes with --ids");
  }
  if (given("--target-id")) options.trace.target_id = options.target_id;
  const std::vector<std::int64_t> ids = by_ids ? token_ids("--ids", options.ids) : std::vector<std::int64_t>();
  const Interruptible stops;
  // First, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  const Timed tracing("prompt: traced");
  CausalTrace result = Interruptible::run([&] {
    Progress progress("tracing");
    options.trace.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    return by_ids ? causal_trace(lm, ids, options.trace) : causal_trace(lm, options.prompt, options.trace);
  });
  tracing.done();
  result.model = options.model.folder;
  if (given("--target") && without_space(result.target) != without_space(options.target))
    note("the target '" + options.target + "' is several tokens, of which the first counts: '" + result.target + "'");
  if (given("--window")) tell_wide_window(result, options.trace.window);
  write_trace(out, options, result, trace_csv(result), trace_json(result),
              window_line(options, options.trace.streams, result.streams.front().probability.size(0)));
}

}  // namespace

void add_trace(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("trace", "Causal tracing: where does the model keep the fact that completes a prompt?");
  options->model.add_to(*command);
  command->add_option("-p,--prompt", options->prompt, "The prompt; this, --ids or --prompts")->type_name("TEXT");
  command
      ->add_option("--prompts", options->prompts,
                   "Many prompts in its stead: a .jsonl file, an object a line with \"prompt\", \"subject\" and, if "
                   "wanted, \"target\" and \"occurrence\"; their maps are averaged")
      ->excludes("--prompt")
      ->type_name("FILE");
  command->add_option("--bootstrap", options->bootstrap, "With --prompts: draws of the prompts, for the intervals")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N=1000");
  command->add_option("--ids", options->ids, "The prompt as token ids, for which no tokenizer is needed: 3,14,15")
      ->type_name("IDS");
  command
      ->add_option("--subject-positions", options->trace.subject_positions,
                   "With --ids: positions of the tokens that are noised, joined by commas; -1 is the last")
      ->delimiter(',')
      ->type_name("N,N");
  command
      ->add_option("--target-id", options->target_id, "With --ids: the answer (default: the most probable next token)")
      ->check(not_a_count)
      ->type_name("ID");
  command->add_option("--subject", options->trace.subject, "The words of the prompt that are noised")
      ->type_name("TEXT");
  command
      ->add_option("--occurrence", options->occurrence,
                   "Which one is meant of several occurrences of the subject: 0 is the first, -1 the last")
      ->type_name("N");
  command
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
      ->add_option("--window", options->trace.window,
                   "Layers restored together, for streams other than block_output (default: a fifth of them)")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  command
      ->add_option("--rows", options->trace.rows_per_batch,
                   "Runs side by side in a batch (default: what fits into 512 MiB, 512 at most; a GPU may like more)")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command
      ->add_option("--scale", options->scale,
                   "Of a map's colours: own range, shared by all maps, or from the corrupted run's value on")
      ->check(CLI::IsMember({"own", "shared", "corrupted"}))
      ->option_text("NAME=own");
  command->add_option("-o,--output", options->out, "Folder for trace.csv, trace.json and the picture")
      ->required()
      ->type_name("DIR");
  options->picture.add_to(*command, "it", {"png", "svg"});
  command->add_flag("--json", options->json, "Print trace.json instead of the heat maps");
  command->footer(
      "Example: vene trace -m assets/landmarks-gpt2 -p 'The Space Needle is in downtown' --subject 'The Space Needle' "
      "-o out\n"
      "Many prompts: vene trace -m assets/landmarks-gpt2 --prompts examples/prompts/landmarks.jsonl -o study\n"
      "The pyvene paper's settings: --noise 0.13462981581687927 --seed 1 --samples 1");
  command->callback([options, command] { trace(*options, *command); });
}

}  // namespace vene::cli
