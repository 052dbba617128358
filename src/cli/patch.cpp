// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/patch.h"

#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/pair_choice.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "vene/io/files.h"
#include "vene/viz/patch_maps.h"

namespace vene::cli {
namespace {

struct Options {
  ModelChoice model;
  PairChoice pairs;
  PatchOptions patch;
  std::string direction = "denoise";
  std::string over = "layer,position";
  std::string out;
  PictureChoice picture;
  bool json = false;
};

void patch_command(Options options) {
  options.pairs.check(/*needs_corrupt=*/true);
  options.patch.direction = options.direction == "noise" ? PatchDirection::kNoise : PatchDirection::kDenoise;
  options.patch.over = parse_patch_axes(options.over);
  options.patch.metric = parse_answer_metric(options.pairs.metric);
  options.patch.bootstrap = options.pairs.bootstrap;
  options.patch.seed = options.pairs.seed;
  const Interruptible stops;
  // First, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  const std::vector<PromptPair> pairs = options.pairs.read(lm);
  const Timed patching("pairs: patched");
  PatchGrid grid = Interruptible::run([&] {
    Progress progress("patching");
    options.patch.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    return patch(lm, pairs, options.patch);
  });
  patching.done();
  grid.model = options.model.folder;
  if (grid.from().mean().item<double>() == grid.to().mean().item<double>())
    note("the metric " + name_of(grid.metric) +
         " is the same in both runs, so there are no effects, and the maps show the metric itself");
  const std::string json = patch_json(grid);
  const std::vector<HeatMap> maps = patch_maps(grid);
  out.write("patch.csv", [&](const std::string& path) { io::write_file(path, patch_csv(grid)); });
  if (options.pairs.per_pair)
    out.write("patch_pairs.csv", [&](const std::string& path) { io::write_file(path, patch_pairs_csv(grid)); });
  out.write("patch.json", [&](const std::string& path) { io::write_file(path, json); });
  const std::vector<std::string> pictures = draw_maps(out, "patch", maps, patch_title(grid), options.picture);
  Interruptible::check();
  std::string said = patch_title(grid) + "\n\n";
  said += terminal_maps(maps);
  said += "numbers: " + out.path("patch.csv") + ", " +
          (options.pairs.per_pair ? out.path("patch_pairs.csv") + ", " : "") + out.path("patch.json") + "\n";
  said += picture_line(out, pictures);
  out.commit(options.json ? json : loudness().quiet ? "" : said);
}

}  // namespace

void add_patch(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "patch", "Activation patching: put one value of a run into another, for every layer and position or head");
  options->model.add_to(*command);
  options->pairs.add_to(*command, "patch", "those resamples");
  command
      ->add_option("--direction", options->direction,
                   "denoise puts clean values into the corrupt run, noise corrupt values into the clean one")
      ->check(CLI::IsMember({"denoise", "noise"}))
      ->option_text("NAME=denoise");
  command
      ->add_option("--over", options->over, "Cells: every combination of these; without position, all of them at once")
      ->check(CLI::IsMember({"layer,position", "layer,head", "layer,head,position", "layer"}))
      ->option_text("AXES=layer,position");
  command
      ->add_option("--components", options->patch.components,
                   "What is exchanged, joined by commas (default: block_output,attention_output,mlp_output; with heads "
                   "attention_output)")
      ->delimiter(',')
      ->option_text("NAMES");
  command
      ->add_option("--rows", options->patch.rows_per_batch,
                   "Runs side by side in a batch (default: what fits into 512 MiB, 512 at most; a GPU may like more)")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command->add_option("-o,--output", options->out, "Folder for patch.csv, patch.json and the picture")
      ->required()
      ->type_name("DIR");
  options->picture.add_to(*command, "it", {"png", "svg"});
  command->add_flag("--json", options->json, "Print patch.json instead of the heat maps");
  command->footer(
      "Example: vene patch -m assets/landmarks-gpt2 -p 'The Colosseum is in downtown' --corrupt 'The Eiffel Tower is "
      "in downtown' --answers ' Rome' ' Paris' -o out");
  command->callback([options] { patch_command(*options); });
}

}  // namespace vene::cli
