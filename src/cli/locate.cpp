// SPDX-License-Identifier: Apache-2.0
#include "vene/train/locate.h"

#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "vene/base/names.h"
#include "vene/io/files.h"
#include "vene/viz/locate_maps.h"

namespace vene::cli {
namespace {

struct Options {
  ModelChoice model;
  LocateOptions locate;
  std::string task;
  std::string out;
  PictureChoice picture;
  bool json = false;
};

void tell(const std::vector<std::string>& names, const std::string& group, const char* why_one, const char* why_many) {
  if (names.empty()) return;
  const bool one = names.size() == 1;
  note(std::to_string(names.size()) + (one ? " name" : " names") + " of '" + group + "' " + (one ? "is" : "are") +
       " left out, because " + (one ? why_one : why_many) + ": " + join(names));
}

void tell_dropped(const LocateResult& result) {
  for (const LocateResult::Class& entry : result.classes) {
    tell(entry.unaligned, entry.name, "the tokens around it are not those around most names",
         "the tokens around them are not those around most names");
    if (!result.options.keep_mistaken)
      tell(entry.mistaken, entry.name, "the model puts another class's answer after it",
           "the model puts another class's answer after them");
  }
}

void locate_command(Options options) {
  const LocateTask task = LocateTask::load(options.task);
  const Interruptible stops;
  // Before the work, because a folder that cannot be written to should not cost a calculation.
  OutputFolder out(options.out);
  const models::LanguageModel lm = options.model.load();
  const Timed training("directions and probes: trained");
  LocateResult result = Interruptible::run([&] {
    Progress progress("training");
    options.locate.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
    return locate(lm, task, options.locate);
  });
  training.done();
  result.model = options.model.folder;
  tell_dropped(result);
  const std::string json = locate_json(result);
  const std::vector<HeatMap> maps = locate_maps(result);
  out.write("locate.csv", [&](const std::string& path) { io::write_file(path, locate_csv(result)); });
  out.write("locate.json", [&](const std::string& path) { io::write_file(path, json); });
  out.write("directions", [&](const std::string& path) { locate_interventions(result, lm)->save(path); });
  const std::vector<std::string> pictures = draw_maps(out, "locate", maps, locate_title(result), options.picture);
  Interruptible::check();
  std::string said = locate_title(result) + "\n\n";
  said += terminal_maps(maps);
  const auto high = [](const torch::Tensor& accuracy) {
    return std::to_string((accuracy >= 0.8).sum().item<std::int64_t>());
  };
  said += "cells at 0.8 or more, of " + std::to_string(result.iia.numel()) + ": " + high(result.iia) + " exchanged, " +
          high(result.probe) + " probed\n";
  said += "numbers: " + out.path("locate.csv") + ", " + out.path("locate.json") +
          "\ndirections: " + out.path("directions") + "\n";
  said += picture_line(out, pictures);
  out.commit(options.json ? json : loudness().quiet ? "" : said);
}

}  // namespace

void add_locate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  LocateOptions& locate = options->locate;
  CLI::App* command = app.add_subcommand("locate",
                                         "Where does a model keep the class of a name? A trained direction and a "
                                         "linear probe for every layer and position");
  options->model.add_to(*command);
  command->add_option("--task", options->task, "JSON file with template, classes and answers")
      ->required()
      ->type_name("FILE");
  command->add_option("--component", locate.component, "What is exchanged and probed")
      ->option_text("NAME=block_output");
  command
      ->add_option("--head", locate.head,
                   "Head of a component that is cut into heads, such as head_attention_value_output")
      ->option_text("N");
  command->add_option("--layers", locate.layers, "Layers, joined by commas (default: all)")
      ->delimiter(',')
      ->option_text("N,N");
  command->add_option("--steps", locate.steps, "Training steps of each direction")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N=" + std::to_string(locate.steps));
  command->add_option("--rate", locate.rate, "Learning rate at the start; it falls to 0")
      ->check(not_positive)
      ->option_text("NUMBER=0.05");
  command->add_option("--batch", locate.batch, "Pairs of names a step")
      ->check(CLI::Range(1, 100000))
      ->option_text("N=" + std::to_string(locate.batch));
  command->add_option("--pairs", locate.pairs, "Pairs to train on, and pairs to test on, at most")
      ->check(CLI::Range(1, 10000000))
      ->option_text("N=" + std::to_string(locate.pairs));
  command->add_option("--seed", locate.seed, "Seed of the split of the names, of pairs, and of starting directions")
      ->check(not_a_count)
      ->option_text("N=1");
  command->add_flag("--keep-mistaken", locate.keep_mistaken,
                    "Also use names after which the model puts another class's answer");
  command->add_option("-o,--output", options->out, "Folder for locate.csv, locate.json, directions/ and the picture")
      ->required()
      ->type_name("DIR");
  options->picture.add_to(*command, "it", {"png", "svg"});
  command->add_flag("--json", options->json, "Print locate.json instead of the heat maps");
  command->footer("Example: vene locate -m assets/landmarks-gpt2 --task examples/tasks/gender.json -o out");
  command->callback([options] { locate_command(*options); });
}

}  // namespace vene::cli
