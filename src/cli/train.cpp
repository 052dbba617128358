// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/base/json.h"
#include "src/cli/command.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/train/spec.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Options {
  ModelChoice model;
  std::string spec;
  std::string out;
  bool resume = false;
  bool json = false;
  bool no_picture = false;
};

volatile std::sig_atomic_t interrupted = 0;

// While it lives, Ctrl-C ends the training after its step, with a checkpoint, instead of the program.
class StopsOnInterrupt {
 public:
  StopsOnInterrupt() : before_(std::signal(SIGINT, [](int) { interrupted = 1; })) {}
  ~StopsOnInterrupt() { std::signal(SIGINT, before_); }

 private:
  void (*before_)(int);
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
  const bool taken = fs::exists(options.out) && !(fs::is_directory(options.out) && fs::is_empty(options.out));
  if (taken && !options.resume)
    throw IoError(options.out + ": is not empty; give --resume to go on with the training in it, or another --output");
}

void draw_loss(const fs::path& path, const train::TrainReport& report) {
  Curve curve{"Training loss", "step", "cross entropy, nats", {}, {}};
  for (const train::StepRecord& step : report.steps) {
    curve.x.push_back(static_cast<double>(step.step));
    curve.y.push_back(step.loss);
  }
  draw_curve(path.string(), curve);
}

void train_command(const Options& options) {
  check_output(options);
  const models::LanguageModel lm = options.model.load();
  train::TrainSpec spec = train::load_train_spec(options.spec, lm);
  const IntervenableModel model = train::make_intervenable(spec, lm);
  spec.options.output = options.out;
  spec.options.resume = options.resume;
  train::TrainReport report;
  const std::string saved = (fs::path(options.out) / "intervention").string();
  train::Trainer trainer(model, spec.options);
  trainer.check(spec.test);  // before the work, like the other sets
  try {
    Progress progress("training");
    const StopsOnInterrupt stops;
    spec.options.progress = [&](const train::Progress& now) {
      char note[64];
      std::snprintf(note, sizeof note, ", loss %.4f, accuracy %.3f", now.latest.loss, now.latest.accuracy);
      progress(static_cast<std::size_t>(now.latest.step + 1), static_cast<std::size_t>(now.steps), note);
      return interrupted == 0;
    };
    report = trainer.fit(spec.examples, spec.validation);
  } catch (const train::DivergedError& error) {
    if (!error.trained()) throw;
    model->save(saved);
    throw PlanError(std::string(error.what()) + "; these are saved in " + saved);
  }
  const fs::path out(options.out);
  if (report.cancelled) {
    throw PlanError("stopped after step " + std::to_string(report.steps.back().step) + "; `--resume` goes on from " +
                    (out / "checkpoint.safetensors").string());
  }
  Json metrics{{"model", options.model.folder},
               {"steps", report.steps.size()},
               {"stopped_early", report.stopped_early},
               {"train", metrics_json(trainer.evaluate(spec.examples))}};
  if (!spec.validation.empty()) metrics["validation"] = metrics_json(trainer.evaluate(spec.validation, true));
  if (!spec.test.empty()) metrics["test"] = metrics_json(trainer.evaluate(spec.test, true));
  model->save(saved);
  // Beside the interventions too, where `vene push` finds it for the model card.
  for (const fs::path& folder : {out, fs::path(saved)})
    io::write_file((folder / "metrics.json").string(), detail::written_json(metrics) + "\n");
  bool picture = !options.no_picture;
  if (picture && !gnuplot_available()) {
    std::fputs(
        "vene: gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox); everything else is written\n",
        stderr);
    picture = false;
  }
  if (picture) draw_loss(out / "loss.png", report);
  if (options.json) {
    std::fputs((detail::written_json(metrics) + "\n").c_str(), stdout);
    return;
  }
  std::printf("%zu steps%s; loss %.4f at first, %.4f at last\n", report.steps.size(),
              report.stopped_early ? ", stopped early" : "", report.steps.front().loss, report.steps.back().loss);
  for (const char* set : {"train", "validation", "test"}) {
    if (!metrics.contains(set)) continue;
    const auto figure = [&](const char* name) {
      return metrics[set][name].is_null() ? std::nan("") : metrics[set][name].get<double>();
    };
    std::printf("%-10s  loss %.4f  accuracy %.3f\n", set, figure("loss"), figure("accuracy"));
  }
  const std::string validation_log = spec.validation.empty() ? "" : ", " + (out / "validation.csv").string();
  std::printf("intervention: %s\nlog: %s%s, %s\n", saved.c_str(), (out / "log.csv").c_str(), validation_log.c_str(),
              (out / "metrics.json").c_str());
  if (picture) std::printf("picture: %s\n", (out / "loss.png").c_str());
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
      ->add_option("-o,--output", options->out,
                   "Folder for intervention/, log.csv, validation.csv, metrics.json, loss.png and the checkpoint")
      ->required()
      ->type_name("DIR");
  command->add_flag("--resume", options->resume, "Go on from the checkpoint in the output folder, where there is one");
  command->add_flag("--json", options->json, "Print metrics.json instead of a summary");
  command->add_flag("--no-picture", options->no_picture, "Don't draw loss.png");
  command->footer(
      "Example: vene train -m assets/landmarks-gpt2 examples/experiments/align_city.train.json -o aligned\n"
      "Ctrl-C stops after a step, with a checkpoint that --resume goes on from.");
  command->callback([options] { train_command(*options); });
}

}  // namespace vene::cli
