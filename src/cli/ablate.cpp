// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/ablate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/pair_choice.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "vene/io/files.h"
#include "vene/viz/ablate_maps.h"

namespace vene::cli {
namespace {

struct Options {
  ModelChoice model;
  PairChoice pairs;
  AblateOptions ablate;
  std::string kind = "zero";
  std::string resample = "corrupt";
  std::string data;
  std::vector<std::string> units{"layer", "head"};
  std::string out;
  PictureChoice picture;
  bool json = false;
};

std::string line_of(const Ablation& ablation, const Ablation::Unit& unit) {
  char text[160];
  std::snprintf(text, sizeof text, "  %-32s %10.4g  (%+.4g)\n", unit_text(unit).c_str(), ablation.value(unit),
                ablation.change(unit));
  return text;
}

// The units that change most, or of a greedy ablation all in their order.
std::string list_of(const Ablation& ablation) {
  std::vector<const Ablation::Unit*> units;
  for (const Ablation::Unit& unit : ablation.units) units.push_back(&unit);
  std::string text;
  if (ablation.greedy > 0) {
    text = "ablated together, the least harmful first (" + name_of(ablation.metric) + ", and its change):\n";
  } else {
    std::stable_sort(units.begin(), units.end(), [&](const auto* a, const auto* b) {
      return std::abs(ablation.change(*a)) > std::abs(ablation.change(*b));
    });
    units.resize(std::min<std::size_t>(units.size(), 10));
    text = "largest changes (" + name_of(ablation.metric) + " without it, and its change):\n";
  }
  for (const Ablation::Unit* unit : units) text += line_of(ablation, *unit);
  return text + "\n";
}

void ablate_command(Options options, const CLI::App& command) {
  const bool data = options.kind == "mean" || (options.kind == "resample" && options.resample == "data");
  options.pairs.check(/*needs_corrupt=*/options.kind == "resample" && options.resample == "corrupt");
  if (data && options.data.empty())
    throw UsageError("--data: --kind " + options.kind + (options.kind == "mean" ? "" : " --resample data") +
                     " needs a file of texts");
  if (!data && !options.data.empty()) throw UsageError("--data: only means and --resample data take texts");
  if (options.kind != "resample" && command.get_option("--resample")->count() > 0)
    throw UsageError("--resample: it says where --kind resample takes its values from");
  options.ablate.kind = options.kind == "zero"   ? AblationKind::kZero
                        : options.kind == "mean" ? AblationKind::kMean
                        : data                   ? AblationKind::kResampleData
                                                 : AblationKind::kResampleCorrupt;
  options.ablate.units.clear();
  for (const std::string& unit : options.units) options.ablate.units.push_back(parse_ablation_unit(unit));
  options.ablate.metric = parse_answer_metric(options.pairs.metric);
  options.ablate.bootstrap = options.pairs.bootstrap;
  options.ablate.seed = options.pairs.seed;
  const Interruptible stops;
  // First, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  const std::vector<PromptPair> pairs = options.pairs.read(lm);
  if (data) options.ablate.data = read_texts(options.data, lm);
  const Timed ablating("units: ablated");
  Ablation result = Interruptible::run([&] {
    Progress progress("ablating");
    options.ablate.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    return ablate(lm, pairs, options.ablate);
  });
  ablating.done();
  result.model = options.model.folder;
  const std::string json = ablate_json(result);
  out.write("ablate.csv", [&](const std::string& path) { io::write_file(path, ablate_csv(result)); });
  if (options.pairs.per_pair)
    out.write("ablate_pairs.csv", [&](const std::string& path) { io::write_file(path, ablate_pairs_csv(result)); });
  out.write("ablate.json", [&](const std::string& path) { io::write_file(path, json); });
  std::string said = ablation_title(result) + "\n\n";
  std::vector<std::string> pictures;
  if (result.greedy > 0) {
    pictures = draw_pictures(out, "ablate", options.picture,
                             [&](const std::string& path) { draw_curve(path, ablation_curve(result)); });
  } else {
    const std::vector<HeatMap> maps = ablation_maps(result);
    pictures = draw_maps(out, "ablate", maps, ablation_title(result), options.picture);
    said += terminal_maps(maps);
  }
  Interruptible::check();
  said += list_of(result);
  said += "numbers: " + out.path("ablate.csv") + ", " +
          (options.pairs.per_pair ? out.path("ablate_pairs.csv") + ", " : "") + out.path("ablate.json") + "\n";
  said += picture_line(out, pictures);
  out.commit(options.json ? json : loudness().quiet ? "" : said);
}

}  // namespace

void add_ablate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "ablate", "Take components, heads or neurons out of the clean run: which does the answer need?");
  options->model.add_to(*command);
  options->pairs.add_to(*command, "ablate", "those resamples, and of the texts that are drawn");
  command
      ->add_option("--kind", options->kind,
                   "What is put in a unit's place: zero, its mean over texts, or what it is in another text")
      ->check(CLI::IsMember({"zero", "mean", "resample"}))
      ->option_text("NAME=zero");
  command->add_option("--resample", options->resample, "That text: the corrupt one, or one drawn from --data")
      ->check(CLI::IsMember({"corrupt", "data"}))
      ->option_text("NAME=corrupt");
  command
      ->add_option("--data", options->data,
                   "File of texts, a line each; of a name that ends in .jsonl a JSON text or list of ids each")
      ->type_name("FILE");
  command->add_flag("--positional", options->ablate.positional, "A mean for each position");
  command->add_option("--units", options->units, "What is ablated: layer, head, neuron, joined by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"layer", "head", "neuron"}))
      ->option_text("NAMES=layer,head");
  command
      ->add_option("--components", options->ablate.components,
                   "Components of layers, joined by commas (default: attention_output,mlp_output)")
      ->delimiter(',')
      ->option_text("NAMES");
  command->add_option("--layers", options->ablate.layers, "Layers, joined by commas (default: all; neurons need some)")
      ->delimiter(',')
      ->option_text("N,N");
  command
      ->add_option("--greedy", options->ablate.greedy,
                   "Ablate N units together, always adding the one that harms the metric least")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command
      ->add_option("--rows", options->ablate.rows_per_batch,
                   "Runs side by side in a batch (default: what fits into 512 MiB, 512 at most; a GPU may like more)")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command->add_option("-o,--output", options->out, "Folder for ablate.csv, ablate.json and the picture")
      ->required()
      ->type_name("DIR");
  options->picture.add_to(*command, "it", {"png", "svg"});
  command->add_flag("--json", options->json, "Print ablate.json instead of the heat maps");
  command->footer(
      "Example: vene ablate -m assets/landmarks-gpt2 -p 'The Colosseum is in downtown' --answers ' Rome' ' Paris' "
      "-o out");
  command->callback([options, command] { ablate_command(*options, *command); });
}

}  // namespace vene::cli
