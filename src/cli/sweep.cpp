// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "src/base/at_place.h"
#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/sweep/sweep_spec.h"
#include "vene/viz/sweep_maps.h"

namespace vene::cli {
namespace {

// More maps than this are no picture.
constexpr std::size_t kMostMaps = 24;

struct Options {
  ModelChoice model;
  SweepSpecOptions sweep;
  std::string spec;
  std::string out;
  PictureChoice picture;
  bool per_row = false;
  bool json = false;
};

// What failed, the first ones by name.
void tell_failures(const SweepTable& table) {
  constexpr std::size_t kNamed = 5;
  for (std::size_t i = 0; i < std::min(kNamed, table.failures.size()); ++i)
    note("warning: " + table.label(table.failures[i].cell) + ": " + table.failures[i].message);
  if (!table.failures.empty())
    note("warning: " + std::to_string(table.failures.size()) + " of " + std::to_string(table.cells()) +
         " cells failed, and have no value; all of them are in sweep.json");
}

void sweep(Options options) {
  const Interruptible stops;
  // First, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const std::string spec = io::read_file(options.spec);
  const models::LanguageModel lm = options.model.load();
  const Timed sweeping("cells: run");
  SweepTable table = Interruptible::run([&] {
    Progress progress("cells");
    options.sweep.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    const std::string folder = std::filesystem::path(options.spec).parent_path().string();
    return detail::at_place(options.spec,
                            [&] { return run_sweep_spec(spec, lm, folder.empty() ? "." : folder, options.sweep); });
  });
  sweeping.done();
  table.model = options.model.folder;
  detail(std::to_string(table.joined) + " of " + std::to_string(table.cells()) + " cells ran as rows of wide batches");
  tell_failures(table);
  const std::string json = sweep_json(table);
  out.write("sweep.csv", [&](const std::string& path) {
    io::write_file(path, options.per_row ? sweep_rows_csv(table) : sweep_csv(table));
  });
  out.write("sweep.json", [&](const std::string& path) { io::write_file(path, json); });
  const std::vector<HeatMap> maps = sweep_maps(table);
  const std::string title = name_of(table.metric) + " of " + std::to_string(table.cells()) + " interventions";
  std::vector<std::string> pictures;
  std::string said = title + "\n\n";
  if (maps.size() <= kMostMaps) {
    pictures = draw_maps(out, "sweep", maps, title, options.picture);
    said += terminal_maps(maps);
  } else {
    note(std::to_string(maps.size()) + " maps are too many for a picture, so none is drawn");
  }
  Interruptible::check();
  said += "numbers: " + out.path("sweep.csv") + ", " + out.path("sweep.json") + "\n";
  said += picture_line(out, pictures);
  out.commit(options.json ? json : loudness().quiet ? "" : said);
}

}  // namespace

void add_sweep(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("sweep", "Run a grid of experiments: every combination of layers, positions, sources, ...");
  options->model.add_to(*command);
  command->add_option("SPEC", options->spec, "An experiment with axes and a metric (docs/sweep.md)")
      ->required()
      ->option_text("FILE REQUIRED");
  command->add_flag("--per-row", options->per_row, "A line for each row of the base in sweep.csv, instead of the mean");
  command
      ->add_option("--rows", options->sweep.rows_per_batch,
                   "Runs side by side in a batch (default: what fits into 512 MiB, 512 at most; a GPU may like more)")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command->add_option("-o,--output", options->out, "Folder for sweep.csv, sweep.json and the picture")
      ->required()
      ->type_name("DIR");
  options->picture.add_to(*command, "it", {"png", "svg"});
  command->add_flag("--json", options->json, "Print sweep.json instead of the heat maps");
  command->footer("Example: vene sweep -m assets/landmarks-gpt2 examples/sweeps/patch_grid.json -o out");
  command->callback([options] { sweep(*options); });
}

}  // namespace vene::cli
