// SPDX-License-Identifier: Apache-2.0
// Configs that say more: several layers and names at once, a source that is read elsewhere, values before and after.
#include "tests/places.h"

#include <gmock/gmock.h>

#include "tests/test_folder.h"
#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/core/experiment.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

class PlacesTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  models::LanguageModel lm_{model_, nullptr};
  models::Batch base_ = ids({{1, 2, 3, 4}, {5, 6, 7, 8}}), source_ = ids({{9, 8, 7, 6}, {4, 3, 2, 1}});

  std::vector<std::string> places(const std::string& json, std::vector<std::size_t>* origins = nullptr) {
    std::vector<std::string> all;
    for (const RepresentationConfig& one : expanded(IntervenableConfig::parse(json), *model_, origins).representations)
      all.push_back(one.component + "." + std::to_string(one.layer));
    return all;
  }
  Result run(const std::string& json, const RunRequest& request) {
    return IntervenableModel(IntervenableConfig::parse(json), model_)->forward(request);
  }
  static void expect_same(const Tensor& a, const Tensor& b) {
    ASSERT_EQ(a.sizes(), b.sizes());
    EXPECT_TRUE(torch::equal(a, b));
  }
  void refused(const std::string& json, const RunRequest& request, const std::string& why) {
    EXPECT_THAT([&] { run(json, request); }, ThrowsMessage<PlanError>(HasSubstr(why))) << json;
  }
};

TEST_F(PlacesTest, ListsOfLayersAndPatternsAreRepresentationsOfTheirOwn) {
  std::vector<std::size_t> origins;
  EXPECT_THAT(places(R"([{"layer": [2, 0]}, {"layer": 1, "component": "inner"}])", &origins),
              ElementsAre("block_output.0", "block_output.2", "inner.1"));
  EXPECT_THAT(origins, ElementsAre(0, 0, 1));
  EXPECT_THAT(places(R"({"layer": "all", "component": "mlp_output"})"),
              ElementsAre("mlp_output.0", "mlp_output.1", "mlp_output.2"));
  EXPECT_THAT(places(R"({"layer": 1, "component": "*_output"})"), ElementsAre("block_output.1", "mlp_output.1"));
  EXPECT_THAT(places(R"({"component": "block_*.inner.output"})"),
              ElementsAre("block_0.inner.output.0", "block_1.inner.output.1", "block_2.inner.output.2"));
  EXPECT_THAT(places(R"({"layer": "all", "component": "embedding"})"), ElementsAre("embedding.0"));
  EXPECT_THAT(places(R"({"layer": 1})"), ElementsAre("block_output.1"));
}

TEST_F(PlacesTest, TheyDoWhatTheRepresentationsWrittenOutDo) {
  const std::string rest = R"(, "intervention_type": "scale", "factor": 0.5})";
  const Result several =
      run(R"({"layer": "all", "component": "mlp_output")" + rest, {.base = base_, .locations = at(1)});
  std::string out;
  for (const char* layer : {"0", "1", "2"})
    out += (out.empty() ? "" : ", ") + (R"({"layer": )" + std::string(layer)) + R"(, "component": "mlp_output")" + rest;
  const Result written = run("[" + out + "]", {.base = base_, .locations = at(1)});
  expect_same(several.intervened.logits, written.intervened.logits);
  expect_same(several.intervened.logits, by_hand(*model_, base_, [](std::int64_t, const std::string& name, Tensor v) {
                return name == "mlp_output" ? put(v, {torch::indexing::Slice(), 1}, v.select(1, 1) * 0.5) : v;
              }));
}

TEST_F(PlacesTest, LayersOfOneRepresentationReadOneSource) {
  const Result one = run(R"([{"layer": [0, 1], "component": "mlp_output"}, {"layer": 2}])",
                         {.base = base_, .sources = {source_, base_}, .locations = at(2)});
  const Result other = run(
      R"([{"layer": 0, "component": "mlp_output", "group_key": 0}, {"layer": 1, "component": "mlp_output", "group_key": 0},
          {"layer": 2, "group_key": 1}])",
      {.base = base_, .sources = {source_, base_}, .locations = at(2)});
  expect_same(one.intervened.logits, other.intervened.logits);
}

TEST_F(PlacesTest, WhatIsListedARepresentationIsRepeated) {
  const IntervenableConfig config = expanded(
      IntervenableConfig::parse(
          R"({"representations": [{"layer": [0, 1]}, {"layer": 2}], "intervention_types": ["zero", "collect"], "intervention_dimensions": [3, null]})"),
      *model_);
  EXPECT_THAT(config.intervention_types, ElementsAre("zero", "zero", "collect"));
  EXPECT_THAT(config.intervention_dimensions, ElementsAre(3, 3, std::nullopt));
  const Experiment experiment = parse_experiment(
      R"({"config": [{"layer": [0, 1], "intervention_type": "zero"}, {"layer": 2, "intervention_type": "collect"}],
          "base": {"input_ids": [[1, 2, 3, 4]]}, "unit_locations": {"base": [[[3]], [[1]]]}, "subspaces": [[[0]], null]})",
      lm_);
  EXPECT_EQ(experiment.config.representations.size(), 3U);
  const Result result = run_experiment(experiment, lm_);
  expect_same(result.intervened.logits,
              by_hand(*model_, ids({{1, 2, 3, 4}}), [](std::int64_t layer, const std::string& name, Tensor v) {
                return name == "block_output" && layer < 2 ? put(v, {torch::indexing::Slice(), 3, 0}, 0.0) : v;
              }));
  EXPECT_EQ(result.collected.at(0).value.size(1), 1);
}

TEST_F(PlacesTest, ASavedFolderNamesEveryPlaceAndLoadsAgain) {
  const TestFolder folder;
  IntervenableModel saved(
      IntervenableConfig::parse(
          R"({"layer": [0, 2], "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "seed": 3})"),
      model_);
  EXPECT_EQ(saved->config().representations.size(), 2U);
  saved->save(folder.path());
  const auto loaded = IntervenableModelImpl::load(folder.path(), model_);
  EXPECT_FALSE(loaded->config().representations[0].stands_for_several());
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(1)};
  expect_same(loaded->forward(request).intervened.logits, saved->forward(request).intervened.logits);
}

TEST_F(PlacesTest, JsonComesBackEqual) {
  for (const char* json :
       {R"({"layer": [0, 2]})", R"({"layer": "all", "component": "*_output"})",
        R"({"layer": 2, "source_site": {"layer": 0}})", R"({"source_site": {"layer": 0, "component": "mlp_output"}})",
        R"({"intervention_type": "collect", "also_original": true})"}) {
    const IntervenableConfig config = IntervenableConfig::parse(json);
    EXPECT_EQ(IntervenableConfig::parse(config.to_json()), config) << json;
    EXPECT_FALSE(config == IntervenableConfig::parse("{}")) << json;
  }
}

TEST_F(PlacesTest, ASourceIsReadAtItsOwnSiteAndWrittenAtAnother) {
  const auto values = [&](const models::Batch& batch, std::int64_t layer, const std::string& name) {
    Tensor kept;
    by_hand(*model_, batch, [&](std::int64_t at, const std::string& of, Tensor v) {
      if (at == layer && of == name) kept = v;
      return v;
    });
    return kept;
  };
  const Tensor read = values(source_, 0, "mlp_output");
  const RunRequest request{.base = base_, .sources = {source_}, .locations = from(at(3), at(1))};
  const std::string config =
      R"({"layer": 2, "component": "block_output", "source_site": {"layer": 0, "component": "mlp_output"}})";
  expect_same(
      run(config, request).intervened.logits,
      by_hand(*model_, base_, [&](std::int64_t layer, const std::string& name, Tensor v) {
        return layer == 2 && name == "block_output" ? put(v, {torch::indexing::Slice(), 1}, read.select(1, 3)) : v;
      }));
  // At every layer what layer 2 held.
  const Tensor last = values(source_, 2, "block_output");
  expect_same(run(R"({"layer": "all", "source_site": {"layer": 2}})", request).intervened.logits,
              by_hand(*model_, base_, [&](std::int64_t, const std::string& name, Tensor v) {
                return name == "block_output" ? put(v, {torch::indexing::Slice(), 1}, last.select(1, 3)) : v;
              }));
  const Plan plan = IntervenableModel(IntervenableConfig::parse(config), model_)->compile(request);
  EXPECT_THAT(plan.describe(), HasSubstr("read mlp_output of layer 0"));
  EXPECT_THAT(plan.describe(), HasSubstr("write block_output of layer 2"));
  // Heads too.
  EXPECT_NO_THROW(run(R"({"layer": 2, "component": "head_inner", "unit": "h", "source_site": {"layer": 0}})",
                      {.base = base_, .sources = {source_}, .locations = at(1)}));
}

TEST_F(PlacesTest, SitesOfAnotherFormAreNoSource) {
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(1)};
  refused(R"({"layer": 2, "source_site": {"component": "logits"}})", request,
          "source_site: logits (head.output) is 11 wide, and block_output of layer 2 (block_2.output), where it is "
          "written, is 6");
  refused(R"({"layer": 2, "source_site": {"component": "head_inner"}})", request,
          "is [batch, pos, head, feature], and block_output of layer 2 (block_2.output), where it is written, is "
          "[batch, pos, feature]");
  refused(R"({"layer": 2, "source_site": {"layer": 7}})", request,
          "representations[0].source_site: layer 7 of component 'block_output' does not exist");
  refused(R"({"layer": 2, "intervention_type": "zero", "source_site": {"layer": 1}})", {.base = base_},
          "source_site: this intervention takes no source");
  for (const auto& [json, why] : std::vector<std::pair<std::string, std::string>>{
           {R"({"source_site": 3})", "source_site: expected an object such as"},
           {R"({"source_site": {}})", "source_site: expected a layer, a component, or both"},
           {R"({"source_site": {"layr": 3}})", "unknown key 'layr'; did you mean 'layer'?"},
           {R"({"layer": []})", "layer: expected an integer of at least 0, a list of them, or \"all\", got []"},
           {R"({"layer": [1, -1]})", "layer[1]: expected an integer of at least 0, got -1"},
           {R"({"layer": [1, 1]})", "layer 1 is given twice"}})
    EXPECT_THAT([&] { IntervenableConfig::parse(json); }, ThrowsMessage<ConfigError>(HasSubstr(why))) << json;
}

TEST_F(PlacesTest, ValuesAreCollectedBesideThoseOfTheOriginalRun) {
  const std::string config = R"([{"layer": 0, "intervention_type": "zero"},
      {"layer": 1, "intervention_type": "collect", "also_original": true}, {"layer": 2, "intervention_type": "collect"}])";
  const Result plain = run(R"([{"layer": 1, "intervention_type": "collect"}])", {.base = base_, .locations = at(2)});
  for (const bool original : {false, true}) {
    const Result result = run(config, {.base = base_, .locations = at(2), .original = original});
    ASSERT_EQ(result.collected.size(), 2U);
    expect_same(result.collected[0].original, plain.collected[0].value);
    EXPECT_FALSE(torch::equal(result.collected[0].value, result.collected[0].original));
    EXPECT_FALSE(result.collected[1].original.defined());
    EXPECT_EQ(result.original.has_value(), original);
    if (original) expect_same(result.original->logits, by_hand(*model_, base_));
    const io::NamedTensors tensors = result_tensors(result);
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [](const auto& one) { return one.first == "collected.0.original"; });
    ASSERT_NE(found, tensors.end());
    expect_same(found->second, plain.collected[0].value);
  }
  // Without the original's logits its pass ends after the site.
  const int before = model_->blocks_run;
  (void)run(config, {.base = base_, .locations = at(2), .collect_only = true});
  EXPECT_EQ(model_->blocks_run - before, 2 + 3);
  refused(R"({"layer": 1, "intervention_type": "zero", "also_original": true})", {.base = base_},
          "also_original is for what collects, and this intervention does not");
  RunRequest generation{.base = base_, .generation = Generation{}};
  EXPECT_THAT(
      [&] {
        IntervenableModel(IntervenableConfig::parse(R"({"intervention_type": "collect", "also_original": true})"),
                          model_)
            ->compile(generation);
      },
      ThrowsMessage<PlanError>(HasSubstr("also_original is for a run, and this is a generation")));
}

TEST_F(PlacesTest, WhatStandsForSeveralIsMadePlacesOfFirst) {
  const IntervenableConfig config = IntervenableConfig::parse(R"({"layer": "all", "intervention_type": "zero"})");
  EXPECT_THAT([&] { build_interventions(config, *model_); },
              ThrowsMessage<PlanError>(HasSubstr("representations[0] stands for several places; `expanded` makes")));
  refused(R"([{"layer": 0, "intervention_type": "zero"}, {"layer": [1, 5], "intervention_type": "zero"}])",
          {.base = base_}, "representations[1]: layer 5 of component 'block_output' does not exist");
  refused(R"({"component": "*_outptu", "intervention_type": "zero"})", {.base = base_},
          "representations[0]: no component of this model fits '*_outptu'");
}

}  // namespace
}  // namespace vene
