// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "src/cli/command.h"
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
  bool json = false;
  bool plan_only = false;
};

void run_experiments(const Options& options) {
  const models::LanguageModel lm = options.model.load();
  const torch::NoGradGuard no_grad;
  // Everything is read and planned before anything is written.
  struct Prepared {
    std::string name;
    Experiment experiment;
    Plan plan;
  };
  std::vector<Prepared> prepared;
  std::set<std::string> names;
  for (const std::string& path : options.experiments) {
    const std::string name = fs::path(path).stem().string();
    if (!names.insert(name).second) throw ConfigError("two experiments are named '" + name + "'; their results would overwrite each other");
    Experiment experiment = load_experiment(path, lm);
    try {
      Plan plan = plan_experiment(experiment, lm);
      prepared.push_back({name, std::move(experiment), std::move(plan)});
    } catch (const Error& error) {
      throw ConfigError(path + ": " + error.what());
    }
  }
  if (options.plan_only) {
    for (const Prepared& entry : prepared) std::printf("%s\n%s", entry.name.c_str(), entry.plan.describe().c_str());
    return;
  }
  io::make_folder(options.out);
  Progress progress("experiments");
  nlohmann::ordered_json summary = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < prepared.size(); ++i) {
    const auto& [name, experiment, plan] = prepared[i];
    io::NamedTensors tensors;
    std::vector<FireReport> fired_all;
    std::string texts;
    if (experiment.generate) {
      const GenerateResult result = generate(plan, experiment.request.base, experiment.request.sources, *experiment.generate);
      tensors = result_tensors(result);
      texts = result_texts(result, lm);
      fired_all = result.fired;
    } else {
      const Result result = run(plan, experiment.request.base, experiment.request.sources);
      tensors = result_tensors(result);
      fired_all = result.fired;
    }
    if (!texts.empty()) io::write_file((fs::path(options.out) / (name + ".json")).string(), texts + "\n");
    const std::string path = (fs::path(options.out) / (name + ".safetensors")).string();
    io::write_safetensors(path, tensors, {{"vene_experiment", name}});
    progress(i + 1, prepared.size());
    nlohmann::ordered_json entry{{"name", name}, {"file", path}};
    for (const auto& [tensor, value] : tensors) entry["tensors"][tensor] = value.sizes().vec();
    for (const FireReport& fired : fired_all) entry["fired"][fired.key] = fired.count;
    summary.push_back(entry);
    if (options.json) continue;
    std::vector<std::string> shown;
    for (const auto& [tensor, value] : tensors) shown.push_back(tensor + " " + shape_text(value.sizes()));
    std::printf("%s: %s\n", path.c_str(), join(shown).c_str());
  }
  if (options.json) std::printf("%s\n", summary.dump(2).c_str());
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run experiments: one model, one safetensors file an experiment");
  options->model.add_to(*command);
  command->add_option("EXPERIMENT", options->experiments, "Experiment files (docs/experiment.md)")->required()->type_name("JSON ...");
  auto* out = command->add_option("-o,--output", options->out, "Folder for the results")->type_name("DIR");
  auto* plan = command->add_flag("--plan", options->plan_only, "Only print what would run where");
  command->add_flag("--json", options->json, "Print a summary as JSON");
  command->footer("Example: vene run -m assets/landmarks-gpt2 examples/experiments/interchange.json -o results");
  command->callback([options, out, plan] {
    if (out->count() == 0 && plan->count() == 0) throw CLI::RequiredError("--output");
    run_experiments(*options);
  });
}

}  // namespace vene::cli
