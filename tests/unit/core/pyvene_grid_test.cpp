// SPDX-License-Identifier: Apache-2.0
// The grid of tests/golden/pyvene: experiments with the results that pyvene, or hooks written by hand, gave.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/unit/core/grid_models.h"
#include "vene/core/experiment.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

using Json = nlohmann::json;
using vene_test::grid_folder;
using vene_test::grid_model;

const std::vector<Json>& grid_cases() {
  static const std::vector<Json> kCases = [] {
    std::ifstream file(grid_folder() / "cases.json");
    return file ? Json::parse(file).get<std::vector<Json>>() : std::vector<Json>{};
  }();
  return kCases;
}

const std::map<std::string, torch::Tensor>& expected_values() {
  static const std::map<std::string, torch::Tensor> kValues = [] {
    std::map<std::string, torch::Tensor> values;
    for (auto& [name, tensor] : io::read_tensors((grid_folder() / "expected.safetensors").string()))
      values.emplace(name, tensor);
    return values;
  }();
  return kValues;
}

// An intervention from outside the library: the source, if any, added to a multiple of the base.
class Mix : public Intervention {
 public:
  explicit Mix(const InterventionSettings& settings)
      : Intervention(settings), scale_(std::get<double>(settings.options.at("scale"))) {}
  Traits traits() const override { return {.needs_source = false, .takes_source = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override {
    const torch::Tensor scaled = base * scale_;
    return swap(base, source.defined() ? scaled + source : scaled, subspace, SwapMode::kInterchange);
  }

 private:
  double scale_;
};

const InterventionRegistry& grid_registry() {
  static InterventionRegistry registry;
  static std::once_flag once;
  std::call_once(once, [] {
    register_builtin_interventions(registry);
    registry.add({"mix",
                  "The source added to a multiple of the base.",
                  {{"scale", OptionType::kNumber, OptionValue(0.5), "What the base is multiplied by."}},
                  [](const InterventionSettings& settings) { return std::make_shared<Mix>(settings); },
                  {}});
  });
  return registry;
}

class PyveneGrid : public testing::TestWithParam<std::size_t> {};

TEST_P(PyveneGrid, GivesWhatPyveneGives) {
  const Json& entry = grid_cases()[GetParam()];
  const std::string name = entry.at("name").get<std::string>();
  SCOPED_TRACE(name + " (" + entry.at("oracle").get<std::string>() + ": " + entry.at("note").get<std::string>() + ")");
  const models::LanguageModel& model = grid_model(entry.at("model").get<std::string>());
  const Experiment experiment =
      parse_experiment(entry.at("experiment").dump(), model, grid_folder().string(), grid_registry());
  if (name.find("_head_") != std::string::npos && name.ends_with("noise_null")) {
    // The stored values have one draw a head for all positions. It is one a position for all heads (docs/config.md), as
    // where all heads and positions are named.
    Json named = entry.at("experiment");
    named.at("config").at(0)["unit"] = "h.pos";
    const Site& site = model.model->sites().find(named.at("config").at(0).at("component").get<std::string>(), 0);
    Json heads = Json::array();
    for (std::int64_t head = 0; head < site.heads; ++head) heads.push_back(head);
    named["unit_locations"]["base"] = {{"h", heads}, {"pos", "all"}};
    const Experiment all = parse_experiment(named.dump(), model, grid_folder().string(), grid_registry());
    const torch::Tensor whole = run_experiment(experiment, model, grid_registry()).intervened.primary(),
                        each = run_experiment(all, model, grid_registry()).intervened.primary();
    ASSERT_EQ(whole.sizes(), each.sizes());
    EXPECT_LE((whole - each).abs().max().item<double>(), 1e-5);
    EXPECT_GT(
        (whole - run_experiment(experiment, model, grid_registry()).original->primary()).abs().max().item<double>(),
        1e-3);
    return;
  }
  std::map<std::string, torch::Tensor> results;
  for (auto& [key, tensor] : result_tensors(run_experiment(experiment, model, grid_registry()))) {
    std::string plain = key;
    if (const bool output = key.starts_with("original.") || key.starts_with("intervened."); output) {
      plain = key.substr(0, key.find('.'));
      // Values at padded positions mean nothing.
      if (const torch::Tensor& mask = experiment.request.base.attention_mask; mask.defined())
        tensor = tensor.where(mask.unsqueeze(-1) == 1, torch::zeros_like(tensor));
    }
    results[plain] = tensor;
  }
  std::size_t compared = 0;
  for (auto it = expected_values().lower_bound(name + ".");
       it != expected_values().end() && it->first.starts_with(name + "."); ++it) {
    const std::string key = it->first.substr(name.size() + 1);
    ASSERT_TRUE(results.contains(key)) << key;
    const torch::Tensor& actual = results.at(key);
    ASSERT_EQ(actual.sizes(), it->second.sizes()) << key;
    EXPECT_LE((actual.to(torch::kFloat64) - it->second.to(torch::kFloat64)).abs().max().item<double>(), 1e-5) << key;
    ++compared;
  }
  EXPECT_GT(compared, 0U) << "no expected values";
  EXPECT_EQ(compared, results.size()) << "a result that pyvene does not have";
}

INSTANTIATE_TEST_SUITE_P(Case, PyveneGrid, testing::Range<std::size_t>(0, grid_cases().size()),
                         [](const testing::TestParamInfo<std::size_t>& info) {
                           return grid_cases()[info.param].at("name").get<std::string>();
                         });

// What a case uses, as "intervention unit", "model component" ...
void tally(const Json& entry, std::set<std::string>& seen) {
  const Json& experiment = entry.at("experiment");
  if (!experiment.at("config").is_object() && !experiment.at("config").is_array()) return;
  const IntervenableConfig config = IntervenableConfig::parse(experiment.at("config").dump(), grid_registry());
  const std::string model = entry.at("model").get<std::string>();
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    const std::string kind = grid_registry().at(config.type_of(i)).name;
    seen.insert(kind + " " + representation.unit);
    seen.insert(kind + (config.mode == Mode::kSerial ? " serial" : " parallel"));
    seen.insert(model + " " + representation.component + " " + representation.unit);
    if (experiment.contains("subspaces"))
      seen.insert(kind + (representation.subspace_partition.empty() ? " columns" : " parts"));
  }
}

TEST(PyveneGridCoverage, HoldsEveryInterventionUnitModeAndComponent) {
  EXPECT_GE(grid_cases().size(), 300U);
  std::set<std::string> seen;
  std::size_t by_pyvene = 0;
  for (const Json& entry : grid_cases()) {
    tally(entry, seen);
    by_pyvene += entry.at("oracle") == "pyvene" ? 1U : 0U;
  }
  EXPECT_GE(by_pyvene, 300U) << "cases that pyvene itself was run on";
  // Interventions with values to learn or fit have goldens of their own.
  std::size_t kinds = 0;
  for (const std::string& name : grid_registry().names()) {
    const InterventionInfo& info = grid_registry().at(name);
    InterventionSettings settings{.width = 4, .low_rank_dimension = 2, .latent_dim = 3, .options = {}};
    bool plain = true;
    for (const OptionInfo& option : info.options) {
      plain = plain && option.default_value.has_value();
      if (option.default_value) settings.options[option.name] = *option.default_value;
    }
    if (!plain || name == "clamp") continue;  // it needs one of its options, whichever
    const auto built = info.build(settings);
    if (built->traits().trainable || !built->parameters().empty() || !built->buffers().empty()) continue;
    ++kinds;
    for (const char* what : {" pos", " h", " h.pos", " parallel", " serial", " columns", " parts"})
      EXPECT_TRUE(seen.contains(name + what)) << name << what;
  }
  EXPECT_GE(kinds, 8U);
  // Every component that pyvene's map of an architecture has, at every unit it allows.
  for (const std::string model : {"gpt2", "llama", "mlp", "gpt_neo", "gpt_neox", "mistral", "gemma", "gemma2", "qwen2",
                                  "qwen3", "olmo", "olmo2", "gru", "esm", "bert"}) {
    const std::string unit = model == "gru" ? "t" : "pos";
    for (const std::string& component : grid_model(model).model->sites().components()) {
      if (component == "embedding" || component == "final_norm" || component == "logits" ||
          component == "attention_scores" || component == "attention_pattern")
        continue;  // ours alone
      if (component.starts_with("head_")) {
        EXPECT_TRUE(seen.contains(model + " " + component + " h") && seen.contains(model + " " + component + " h.pos"))
            << model << " " << component;
      } else {
        EXPECT_TRUE(seen.contains(model + " " + component + " " + unit)) << model << " " << component;
      }
    }
  }
}

}  // namespace
}  // namespace vene
