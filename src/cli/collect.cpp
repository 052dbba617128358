// SPDX-License-Identifier: Apache-2.0
#include "vene/core/collect.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/cli/command.h"
#include "src/cli/print.h"
#include "src/cli/quantities.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelChoice model;
  CollectOptions collect;
  std::string data, out;
  std::string layers = "all";
  std::string positions = "all";
  std::string shard_size = "256MiB";
  std::string store;
  bool json = false;
};

const std::map<std::string, torch::ScalarType>& stored() {
  static const std::map<std::string, torch::ScalarType> kStored{
      {"float32", torch::kFloat32}, {"bfloat16", torch::kBFloat16}, {"float16", torch::kFloat16}};
  return kStored;
}

// What is wrong with a quantity; empty where nothing is.
std::string layers_problem(const std::string& text) {
  std::vector<std::int64_t> layers;
  return read_layers(text, layers) ? "" : "expected layers such as 3, 0,4-6 or all, got '" + text + "'";
}
std::string positions_problem(const std::string& text) {
  return read_positions(text) ? "" : "expected all, first, last or positions such as 0,-2,-1, got '" + text + "'";
}
std::string bytes_problem(const std::string& text) {
  return read_bytes(text) ? "" : "expected a size such as 500MB or 2GiB, got '" + text + "'";
}

// What a run that was stopped leaves.
std::string left_in(const std::string& folder) {
  try {
    const CollectedFolder there = CollectedFolder::open(folder);
    return std::to_string(there.shards()) + (there.shards() == 1 ? " shard is" : " shards are") + " in " + folder +
           ", and --resume goes on";
  } catch (const Error&) {
    return "nothing was written";
  }
}

std::string counted(std::int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void collect_command(Options options) {
  std::vector<std::int64_t> layers;
  read_layers(options.layers, layers);
  if (!layers.empty()) options.collect.layers = layers;
  options.collect.positions = *read_positions(options.positions);
  options.collect.shard_bytes = *read_bytes(options.shard_size);
  if (!options.store.empty()) options.collect.dtype = stored().at(options.store);
  const Interruptible stops;
  const models::LanguageModel lm = options.model.load();
  const Timed collecting("texts: collected");
  CollectReport report;
  try {
    Progress progress("texts");
    options.collect.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    report = collect(lm, options.data, options.out, options.collect);
  } catch (const std::exception&) {
    Interruptible::check(left_in(options.out));
    throw;
  }
  collecting.done();
  const std::string index = (fs::path(options.out) / "index.json").string();
  nlohmann::ordered_json json{{"texts", report.texts},   {"rows", report.rows},
                              {"shards", report.shards}, {"kept_shards", report.kept_shards},
                              {"bytes", report.bytes},   {"index", index}};
  for (const CollectedSite& site : report.sites) json["sites"].push_back(site.name);
  const std::string said = counted(static_cast<std::int64_t>(report.sites.size()), "site") + " of " +
                           counted(report.texts, "text") + ": " + counted(report.rows, "row") + " in " +
                           counted(report.shards, "shard") + ", " +
                           detail::bytes_text(static_cast<double>(report.bytes)) +
                           (report.kept_shards > 0 ? "; " + counted(report.kept_shards, "shard") +
                                                         (report.kept_shards == 1 ? " was" : " were") + " there before"
                                                   : "") +
                           "\nindex: " + index + "\n";
  say(options.json ? detail::written_json(json) + "\n" : loudness().quiet ? "" : said);
}

}  // namespace

void add_collect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CollectOptions& collect = options->collect;
  CLI::App* command =
      app.add_subcommand("collect", "Write what a model has at some sites, for every text of a file, into shards");
  options->model.add_to(*command);
  command
      ->add_option("--data", options->data,
                   "The texts: one a line, or in a .jsonl an object a line with \"text\" or \"ids\"")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--sites", collect.sites,
                   "Components or paths (vene sites), joined by commas; '*_output' is all that end so, '*' everything")
      ->delimiter(',')
      ->option_text("NAMES=block_output");
  command->add_option("--layers", options->layers, "Layers of components that have layers, such as 0,4-6")
      ->check(layers_problem)
      ->option_text("LIST=all");
  command
      ->add_option("--positions", options->positions,
                   "Within each text: all, first, last, or a list that counts from the end where negative, as 0,-2,-1")
      ->check(positions_problem)
      ->option_text("LIST=all");
  command
      ->add_option("--store-dtype", options->store,
                   "What values are stored in: float32, bfloat16 or float16 (default: what the model runs in)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->option_text("NAME");
  command->add_option("--shard-size", options->shard_size, "Largest shard, such as 500MB or 2GiB; memory follows it")
      ->check(bytes_problem)
      ->option_text("SIZE=256MiB");
  command
      ->add_option("--max-tokens", collect.max_tokens,
                   "Read the first N tokens of each text (default: all, and a text that the model cannot read whole is "
                   "an error)")
      ->check(CLI::Range(1, 100000000))
      ->option_text("N");
  command->add_option("--batch-tokens", collect.batch_tokens, "Tokens a forward, padding included")
      ->check(CLI::Range(1, 100000000))
      ->option_text("N=" + std::to_string(collect.batch_tokens));
  command->add_flag("--resume", collect.resume, "Go on with a run that was stopped: finished shards stay");
  command->add_option("-o,--output", options->out, "Folder for index.json and the shards")
      ->required()
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print counts and names as JSON");
  command->footer(
      "Example: vene collect -m assets/landmarks-gpt2 --data examples/texts/landmarks.txt -o collected\n"
      "Everything: vene collect -m assets/landmarks-gpt2 --data examples/texts/landmarks.txt --sites '*' -o "
      "everything\n"
      "Ctrl-C leaves finished shards, from which --resume goes on; a second one stops at once.");
  command->callback([options] { collect_command(*options); });
}

}  // namespace vene::cli
