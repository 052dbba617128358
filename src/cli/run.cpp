// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "src/base/at_place.h"
#include "src/base/json.h"
#include "src/cli/command.h"
#include "src/cli/output_folder.h"
#include "src/cli/prediction.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/experiment.h"
#include "vene/io/files.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelChoice model;
  std::vector<std::string> experiments;
  std::string out;
  PredictionChoice prediction;
  bool json = false;
  bool plan_only = false;
};

struct Prepared {
  std::string path, name;
  Experiment experiment;
  Plan plan;
};

// Reads and plans everything before anything runs, so that a mistake in the last file costs nothing.
std::vector<Prepared> prepare(const std::vector<std::string>& paths, const models::LanguageModel& lm) {
  std::vector<Prepared> prepared;
  std::map<std::string, std::string> named;
  for (const std::string& path : paths) {
    const std::string name = fs::path(path).stem().string();
    const auto [other, is_new] = named.emplace(name, path);
    if (!is_new)
      throw ConfigError("'" + other->second + "' and '" + path + "' would both write " + name +
                        ".safetensors; rename one");
    Experiment experiment = load_experiment(path, lm);
    std::error_code ignored;
    if (paths.size() > 1 && fs::exists(fs::path(experiment.config_folder) / "model_parts.safetensors", ignored)) {
      throw ConfigError(
          path +
          ": its interventions were trained together with parts of the model, which they bring along; run it alone");
    }
    Plan plan = detail::at_place(path, [&] { return plan_experiment(experiment, lm); });
    prepared.push_back({path, name, std::move(experiment), std::move(plan)});
  }
  return prepared;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// What an experiment leaves behind.
struct Outcome {
  io::NamedTensors tensors;
  std::string texts;  // JSON; empty where nothing is written
  std::vector<FireReport> fired;
  nlohmann::ordered_json predictions;  // null where none were asked for
};

Outcome run_one(const Prepared& entry, const models::LanguageModel& lm, const PredictionChoice& choice,
                const std::vector<std::int64_t>& tokens) {
  const RunRequest& request = entry.experiment.request;
  return detail::at_place(entry.path, [&]() -> Outcome {
    if (entry.experiment.generate) {
      GenerateOptions options = *entry.experiment.generate;
      options.on_token = [](const GeneratedToken&) { return !Interruptible::asked(); };
      const GenerateResult result = generate(entry.plan, request.base, request.sources, options);
      return {result_tensors(result), result_texts(result, lm), result.fired, {}};
    }
    const Result result = run(entry.plan, request.base, request.sources);
    return {result_tensors(result), "", result.fired,
            choice.any() ? predictions(result, request.base, lm, choice, tokens) : nlohmann::ordered_json()};
  });
}

void print_plans(const std::vector<Prepared>& prepared, bool as_json) {
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (const Prepared& entry : prepared) {
    if (as_json) {
      plans.push_back({{"name", entry.name},
                       {"generates", entry.experiment.generate.has_value()},
                       {"plan", lines_of(entry.plan.describe())}});
    } else {
      std::printf("%s%s\n%s", entry.name.c_str(), entry.experiment.generate ? ": a generation" : "",
                  entry.plan.describe().c_str());
    }
  }
  if (as_json) std::printf("%s\n", detail::written_json(plans).c_str());
}

void run_experiments(const Options& options) {
  const Interruptible stops;
  options.prediction.refuse_idle(options.plan_only);
  // First, because a folder that cannot be written to should not cost a calculation.
  std::optional<OutputFolder> output;
  if (!options.plan_only) output.emplace(options.out);
  const models::LanguageModel lm = options.model.load();
  const torch::NoGradGuard no_grad;
  const std::vector<Prepared> prepared = prepare(options.experiments, lm);
  const std::vector<std::int64_t> tokens = chosen_tokens(options.prediction, lm);
  for (const Prepared& entry : prepared) {
    if (options.prediction.any() && entry.experiment.generate)
      throw ConfigError(entry.path + ": --top and --probability look at one run, and this experiment generates");
  }
  if (options.plan_only) {
    print_plans(prepared, options.json);
    return;
  }
  OutputFolder& out = *output;
  nlohmann::ordered_json summary = nlohmann::ordered_json::array();
  std::string lines;
  {
    Progress progress("experiments");
    for (const Prepared& entry : prepared) {
      const Timed running(entry.name + ": run");
      const Outcome result = run_one(entry, lm, options.prediction, tokens);
      Interruptible::check();
      running.done();
      const std::string file = entry.name + ".safetensors";
      out.write(file, [&](const std::string& path) {
        io::write_safetensors(path, result.tensors, {{"vene_experiment", entry.name}});
      });
      if (!result.texts.empty())
        out.write(entry.name + ".json", [&](const std::string& path) { io::write_file(path, result.texts + "\n"); });
      nlohmann::ordered_json said{{"name", entry.name}, {"file", out.path(file)}};
      std::vector<std::string> shapes;
      for (const auto& [name, value] : result.tensors) {
        said["tensors"][name] = value.sizes().vec();
        shapes.push_back(name + " " + shape_text(value.sizes()));
      }
      // Behind the others: an ordered object is searched from its start for each key that is asked for.
      auto& counts = (said["fired"] = detail::OrderedJson::object()).get_ref<detail::OrderedJson::object_t&>();
      for (const FireReport& fired : result.fired) counts.emplace_back(fired.key, fired.count);
      if (!result.predictions.is_null()) said["predictions"] = result.predictions;
      summary.push_back(said);
      lines += loudness().quiet ? "" : out.path(file) + ": " + join(shapes) + "\n";
      if (!result.predictions.is_null()) lines += predictions_text(result.predictions);
      progress(summary.size(), prepared.size());
    }
  }
  out.commit(options.json ? detail::written_json(summary) + "\n" : lines);
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run experiments: one model, one safetensors file an experiment");
  options->model.add_to(*command);
  command->add_option("EXPERIMENT", options->experiments, "Experiment files (docs/experiment.md)")
      ->required()
      ->option_text("FILE ... REQUIRED");
  auto* out = command->add_option("-o,--output", options->out, "Folder for the results")->type_name("DIR");
  auto* plan = command->add_flag("--plan", options->plan_only,
                                 "Only print what would run where, and in which steps of a generation");
  options->prediction.add_to(*command);
  command->add_flag("--json", options->json, "Print the summary, or the plan, as JSON");
  command->footer(
      "Example: vene run -m assets/landmarks-gpt2 examples/experiments/interchange.json -o results --top 5");
  command->callback([options, out, plan] {
    if (out->count() == 0 && plan->count() == 0) throw CLI::RequiredError("--output");
    run_experiments(*options);
  });
}

}  // namespace vene::cli
