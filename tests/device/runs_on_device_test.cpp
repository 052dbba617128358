// SPDX-License-Identifier: Apache-2.0
// What the library does with a model, on the stand-in: the same as on the CPU.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/device/stand_in.h"
#include "tests/unit/core/grid_models.h"
#include "tests/unit/models/helpers.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/interventions/pca.h"

namespace vene_test {
namespace {

using namespace vene;
using Json = nlohmann::json;

// A tiny model of tests/golden/pyvene on the stand-in, loaded once.
const models::LanguageModel& grid_model_on_device(const std::string& name) {
  static std::map<std::string, models::LanguageModel> models;
  const auto found = models.find(name);
  if (found != models.end()) return found->second;
  return models.emplace(name, models::load((grid_folder() / name).string(), {.device = stand_in()})).first->second;
}

// Results, or the message of the error.
std::pair<std::map<std::string, torch::Tensor>, std::string> outcome(const std::string& text,
                                                                     const models::LanguageModel& model) {
  std::map<std::string, torch::Tensor> results;
  try {
    torch::manual_seed(1);
    const Experiment experiment = parse_experiment(text, model, grid_folder().string());
    for (auto& [key, tensor] : result_tensors(run_experiment(experiment, model))) {
      torch::Tensor plain = tensor.to(torch::kCPU);
      const torch::Tensor mask = experiment.request.base.attention_mask;
      if ((key.starts_with("original.") || key.starts_with("intervened.")) && mask.defined())
        plain = plain.where(mask.to(torch::kCPU).unsqueeze(-1) == 1, torch::zeros_like(plain));
      results[key] = plain;
    }
  } catch (const Error& error) {
    return {{}, error.what()};
  }
  return {results, ""};
}

TEST(RunOnDevice, EveryExperimentOfTheGridGivesWhatItGivesOnTheCpu) {
  std::ifstream file(grid_folder() / "cases.json");
  const auto cases = Json::parse(file).get<std::vector<Json>>();
  ASSERT_GT(cases.size(), 500U);
  std::size_t compared = 0;
  for (const Json& entry : cases) {
    if (entry.dump().find("\"mix\"") != std::string::npos) continue;  // an intervention of that test's own
    SCOPED_TRACE(entry.at("name").get<std::string>());
    const std::string text = entry.at("experiment").dump(), name = entry.at("model").get<std::string>();
    const auto [expected, error] = outcome(text, grid_model(name));
    const auto [actual, other_error] = outcome(text, grid_model_on_device(name));
    ASSERT_EQ(error, other_error);
    ASSERT_EQ(actual.size(), expected.size());
    for (const auto& [key, value] : expected) {
      ASSERT_TRUE(actual.contains(key)) << key;
      ASSERT_EQ(actual.at(key).sizes(), value.sizes()) << key;
      EXPECT_LE(relative_error(actual.at(key), value), 1e-6) << key;
      ++compared;
    }
  }
  EXPECT_GT(compared, cases.size());
}

TEST(RunOnDevice, EveryInterventionActsWithoutWaiting) {
  const auto model = small_gpt2();
  model->to(stand_in());
  const std::map<std::string, std::string> needed{{"low_rank_rotated_space", R"(, "low_rank_dimension": 3)"},
                                                  {"pca_rotated_space", R"(, "low_rank_dimension": 3)"},
                                                  {"autoencoder", R"(, "latent_dim": 20, "latents": [0, -1, 5])"},
                                                  {"jump_relu_autoencoder", R"(, "latent_dim": 20)"},
                                                  {"directions", R"(, "count": 2)"},
                                                  {"scale", R"(, "factor": 0.5)"},
                                                  {"clamp", R"(, "minimum": -0.5)"},
                                                  {"set", R"(, "value": 0.5)"}};
  const models::Batch base = padded({{5, 9, 31, 2}, {8, 3, 27}}, true).to(stand_in()),
                      source = padded({{7, 1, 2, 3}, {4, 4, 6}}, true).to(stand_in());
  const torch::NoGradGuard no_grad;
  for (const std::string& name : InterventionRegistry::standard().names()) {
    for (const std::string component : {"block_output", "mlp_output"}) {
      SCOPED_TRACE(name + " " + component);
      const auto more = needed.find(name);
      IntervenableModel patched(
          IntervenableConfig::parse(R"([{"layer": 1, "component": ")" + component + R"(", "intervention_type": ")" +
                                    name + "\"" + (more == needed.end() ? "" : more->second) + "}]"),
          model);
      if (auto* pca = dynamic_cast<PCARotatedSpace*>(patched->interventions()[0].get()))
        pca->fit(torch::randn({20, 16}));
      RunRequest request{.base = base, .locations = last()};
      if (patched->interventions()[0]->traits().needs_source) request.sources = {source};
      const Plan plan = patched->compile(request);
      const auto once = [&] { return vene::run(plan, request.base, request.sources); };
      (void)once();  // what is made once
      Result result;
      const DeviceCounts counts = counted([&] { result = once(); });
      EXPECT_EQ(counts.stops(), 0) << counts.downloads << " " << counts.items << " " << counts.waits;
      EXPECT_EQ(counts.uploads, 0);
      EXPECT_EQ(result.fired.size(), 1U);
    }
  }
}

}  // namespace
}  // namespace vene_test
