// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "src/base/json.h"
#include "src/cli/command.h"
#include "src/cli/draw.h"
#include "src/cli/output_folder.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"
#include "vene/train/spec.h"
#include "vene/viz/curve.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Options {
  ModelChoice model;
  std::string spec;
  std::string out;
  bool resume = false;
  PictureChoice picture;
  bool json = false;
};

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}
Json metrics_json(const train::Metrics& metrics) {
  return {{"loss", number(metrics.loss)},
          {"accuracy", number(metrics.accuracy)},
          {"logit_difference", number(metrics.logit_difference)},
          {"kl", number(metrics.kl)}};
}

// A folder that holds something is another training's, unless this one goes on from it.
void check_output(const Options& options) {
  std::error_code unreadable;  // which OutputFolder tells of
  const bool taken = fs::is_directory(options.out, unreadable) && !fs::is_empty(options.out, unreadable);
  if (taken && !options.resume)
    throw IoError(options.out + ": is not empty; give --resume to go on with the training in it, or another --output");
}

Curve loss_curve(const train::TrainReport& report) {
  Curve curve{"Loss", "step", "cross entropy, nats", {}, {}};
  curve.name = "training";
  Curve::Line validation{"validation", {}, {}};
  std::size_t step = 0;
  for (const train::EpochRecord& epoch : report.epochs) {
    // A set is measured after the last step of its epoch.
    while (step + 1 < report.steps.size() && report.steps[step + 1].epoch <= epoch.epoch) ++step;
    validation.x.push_back(static_cast<double>(report.steps[step].step));
    validation.y.push_back(epoch.validation.loss);
  }
  for (const train::StepRecord& record : report.steps) {
    curve.x.push_back(static_cast<double>(record.step));
    curve.y.push_back(record.loss);
  }
  if (!validation.x.empty()) curve.others.push_back(std::move(validation));
  return curve;
}

std::string formatted(const char* format, double first, double second) {
  char text[120];
  std::snprintf(text, sizeof text, format, first, second);
  return text;
}

void train_command(const Options& options) {
  if (!options.out.empty()) check_output(options);
  OutputFolder out(options.out);
  const Interruptible stops;
  const models::LanguageModel lm = options.model.load();
  train::TrainSpec spec = train::load_train_spec(options.spec, lm);
  const IntervenableModel model = train::make_intervenable(spec, lm);
  spec.options.output = options.out;
  spec.options.resume = options.resume;
  const std::string saved = out.path("intervention");
  Progress progress("training");
  // Before the trainer is made, which takes a copy.
  spec.options.progress = [&](const train::Progress& now) {
    char note[64];
    std::snprintf(note, sizeof note, ", loss %.4f, accuracy %.3f", now.latest.loss, now.latest.accuracy);
    return progress(static_cast<std::size_t>(now.latest.step + 1), static_cast<std::size_t>(now.steps), note);
  };
  train::Trainer trainer(model, spec.options);
  trainer.check(spec.test);  // before the work, like the other sets
  train::TrainReport report;
  const Timed training("interventions: trained");
  try {
    report = trainer.fit(spec.examples, spec.validation);
  } catch (const train::DivergedError& error) {
    progress.clear();
    if (!error.trained()) throw;
    model->save(saved);
    throw PlanError(std::string(error.what()) + "; these are saved in " + saved);
  }
  progress.clear();
  training.done();
  const std::string resumable = "`--resume` goes on from " + out.path("checkpoint.safetensors");
  if (report.cancelled)
    throw Stopped("stopped after step " + std::to_string(report.steps.back().step) + "; " + resumable);
  // The last checkpoint is that of the end, so that what is left can be done another time.
  const auto measured = [&](const std::vector<train::Example>& set, bool kl) {
    Interruptible::check(resumable);
    return metrics_json(trainer.evaluate(set, kl));
  };
  Json metrics{{"model", options.model.folder},
               {"steps", report.steps.size()},
               {"stopped_early", report.stopped_early},
               {"train", measured(spec.examples, false)}};
  if (!spec.validation.empty()) metrics["validation"] = measured(spec.validation, true);
  if (!spec.test.empty()) metrics["test"] = measured(spec.test, true);
  const std::string metrics_text = detail::written_json(metrics) + "\n";
  out.write("intervention", [&](const std::string& path) {
    model->save(path);
    // Beside the interventions too, where `vene push` finds it for the model card.
    io::write_file((fs::path(path) / "metrics.json").string(), metrics_text);
  });
  out.write("metrics.json", [&](const std::string& path) { io::write_file(path, metrics_text); });
  const std::vector<std::string> pictures = draw_pictures(
      out, "loss", options.picture, [curve = loss_curve(report)](const std::string& path) { draw_curve(path, curve); });
  std::string said =
      std::to_string(report.steps.size()) + " steps" + (report.stopped_early ? ", stopped early" : "") +
      formatted("; loss %.4f at first, %.4f at last\n", report.steps.front().loss, report.steps.back().loss);
  for (const char* set : {"train", "validation", "test"}) {
    if (!metrics.contains(set)) continue;
    const auto figure = [&](const char* name) {
      return metrics[set][name].is_null() ? std::nan("") : metrics[set][name].get<double>();
    };
    std::string name(set);
    name.resize(10, ' ');
    said += name + formatted("  loss %.4f  accuracy %.3f\n", figure("loss"), figure("accuracy"));
  }
  const std::string validation_log = spec.validation.empty() ? "" : ", " + out.path("validation.csv");
  said += "intervention: " + saved + "\nlog: " + out.path("log.csv") + validation_log + ", " +
          out.path("metrics.json") + "\n";
  said += picture_line(out, pictures);
  out.commit(options.json ? metrics_text : loudness().quiet ? "" : said);
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train the interventions of a spec, and save them");
  options->model.add_to(*command);
  command->add_option("SPEC", options->spec, "What to train on which examples (docs/training.md)")
      ->required()
      ->option_text("FILE REQUIRED");
  command
      ->add_option(
          "-o,--output", options->out,
          "Folder for intervention/, log.csv, validation.csv, metrics.json, the checkpoint and a picture of the loss")
      ->required()
      ->type_name("DIR");
  command->add_flag("--resume", options->resume, "Go on from the checkpoint in the output folder, where there is one");
  command->add_flag("--json", options->json, "Print metrics.json instead of a summary");
  options->picture.add_to(*command, "the loss", {"png"}, /*several=*/false);
  command->footer(
      "Example: vene train -m assets/landmarks-gpt2 examples/experiments/align_city.train.json -o aligned\n"
      "Ctrl-C stops after a step, with a checkpoint that --resume goes on from; a second one stops at once.");
  command->callback([options] { train_command(*options); });
}

}  // namespace vene::cli
