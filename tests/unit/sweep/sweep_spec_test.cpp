// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/sweep_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/core/experiment.h"
#include "vene/viz/sweep_maps.h"

namespace {

using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

vene::models::LanguageModel golden(const std::string& name) {
  return vene::models::load(std::string(vene_test::kSourceFolder) + "/tests/golden/models/" + name);
}

// Two rows of unequal length, each with a source of its own.
Json patch_spec() {
  return Json::parse(R"({
    "axes": {"component": ["block_output", "mlp_output"], "layer": [0, 1], "position": [0, 1, -1]},
    "config": {"representations": [{"layer": "$layer", "component": "$component", "intervention_type": "vanilla"}]},
    "base": {"input_ids": [[1, 2, 3, 4], [5, 6, 7]]},
    "sources": [{"input_ids": [[9, 8, 7, 6], [4, 3, 2]]}],
    "unit_locations": {"sources->base": "$position"},
    "metric": {"name": "logit_diff", "answers": [10, 11]}})");
}

// The metric of one experiment by the plain way: the difference of two logits at each row's last token.
std::vector<double> plainly(Json spec, const vene::models::LanguageModel& lm) {
  const Json answers = spec["metric"]["answers"];
  spec.erase("axes");
  spec.erase("metric");
  const vene::Experiment experiment = vene::parse_experiment(spec.dump(), lm);
  const torch::Tensor logits = vene::run_experiment(experiment, lm).intervened.logits;
  std::vector<double> values;
  for (std::size_t row = 0; row < spec["base"]["input_ids"].size(); ++row) {
    const auto last = static_cast<std::int64_t>(spec["base"]["input_ids"][row].size()) - 1;
    const torch::Tensor at = logits[static_cast<std::int64_t>(row)][last];
    values.push_back(at[answers[0].get<std::int64_t>()].item<double>() -
                     at[answers[1].get<std::int64_t>()].item<double>());
  }
  return values;
}

void expect_row(const vene::SweepTable& table, std::size_t cell, const std::vector<double>& expected) {
  for (std::size_t row = 0; row < expected.size(); ++row)
    EXPECT_NEAR(table.values[static_cast<std::int64_t>(cell)][static_cast<std::int64_t>(row)].item<double>(),
                expected[row], 1e-5 * std::max(1.0, std::abs(expected[row])))
        << table.label(cell) << ", row " << row;
}

TEST(SweepSpec, EveryCellIsTheExperimentWithItsValues) {
  for (const char* name : {"gpt2_tied", "llama_gqa_tied", "gpt_neox_parallel"}) {
    const auto lm = golden(name);
    const vene::SweepTable table = vene::run_sweep_spec(patch_spec().dump(), lm);
    ASSERT_EQ(table.cells(), 12U);
    EXPECT_EQ(table.joined, 12U);
    EXPECT_TRUE(table.failures.empty());
    for (std::size_t cell = 0; cell < 12; ++cell) {
      Json one = patch_spec();
      one["config"]["representations"][0]["component"] = cell < 6 ? "block_output" : "mlp_output";
      one["config"]["representations"][0]["layer"] = cell / 3 % 2;
      one["unit_locations"]["sources->base"] = one["axes"]["position"][cell % 3];
      expect_row(table, cell, plainly(one, lm));
    }
  }
}

TEST(SweepSpec, CellsThatRunAloneAreTheSameExperiments) {
  const auto lm = golden("gpt2_tied");
  // Each of these axes takes another way through a run.
  const std::vector<std::string> specs{
      // a rotation of its own, as its seed makes it
      R"({"axes": {"x": [0, 1]}, "config": {"representations": [{"layer": "$x", "component": "block_output", "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "seed": 3}]}, "unit_locations": {"sources->base": 1}})",
      // a source for each axis value; subspaces; positions of their own on both sides
      R"({"axes": {"x": [[[3, 1, 2, 4]], [[9, 9, 9, 9]]]}, "config": {"representations": [{"layer": 0, "component": "block_output", "intervention_type": "vanilla"}]}, "sources": [{"input_ids": "$x"}], "unit_locations": {"sources->base": [2, 1]}})",
      R"({"axes": {"x": [[0, 1], [5]]}, "config": {"representations": [{"layer": 0, "component": "block_output", "intervention_type": "vanilla"}]}, "subspaces": "$x", "unit_locations": {"sources->base": 0}})",
      // heads at every position, and at some
      R"({"axes": {"x": [0, 1]}, "config": {"representations": [{"layer": 1, "component": "head_attention_value_output", "unit": "h", "intervention_type": "vanilla"}]}, "unit_locations": {"sources->base": "$x"}})",
      R"({"axes": {"x": [0, 1]}, "config": {"representations": [{"layer": 1, "component": "head_attention_value_output", "unit": "h.pos", "intervention_type": "zero"}]}, "sources": null, "unit_locations": {"base": {"h": "$x", "pos": [0, 2]}}})",
      // the whole value, an embedding, noise, and lists of positions a row, one of them empty
      R"({"axes": {"x": ["mlp_output", "attention_output"]}, "config": {"representations": [{"layer": 1, "component": "$x", "intervention_type": "vanilla"}]}})",
      R"({"axes": {"x": [0.5, 2]}, "config": {"representations": [{"component": "embedding", "intervention_type": "noise", "level": "$x"}]}, "sources": null, "unit_locations": {"base": 0}})",
      R"({"axes": {"x": [0.5, 2]}, "config": {"representations": [{"layer": 1, "component": "block_input", "intervention_type": "noise", "level": "$x"}]}, "sources": null})",
      R"({"axes": {"x": [[[0, 1], []], [[3], [2]]]}, "config": {"representations": [{"layer": 0, "component": "block_output", "intervention_type": "zero"}]}, "sources": null, "unit_locations": {"base": "$x"}})"};
  for (const std::string& text : specs) {
    Json spec = patch_spec();
    const Json own = Json::parse(text);
    spec.erase("unit_locations");
    spec.update(own);
    const vene::SweepTable table = vene::run_sweep_spec(spec.dump(), lm);
    ASSERT_EQ(table.cells(), 2U);
    for (std::size_t cell = 0; cell < 2; ++cell) {
      ASSERT_TRUE(table.failures.empty()) << text << "\n" << table.failures[0].message;
      std::string one = spec.dump();
      const std::string value = own["axes"]["x"][cell].dump();
      for (std::size_t at = one.find("\"$x\""); at != std::string::npos; at = one.find("\"$x\""))
        one.replace(at, 4, value);
      SCOPED_TRACE(text);
      expect_row(table, cell, plainly(Json::parse(one), lm));
    }
  }
}

TEST(SweepSpec, TheBaseIsMeasuredToo) {
  const auto lm = golden("gpt2_tied");
  Json none = patch_spec();
  none["config"]["representations"][0] = Json::parse(
      R"({"layer": 0, "component": "block_output", "intervention_type": "addition", "source_representation": 0})");
  none["config"]["representations"][0]["source_representation"] =
      std::vector<double>(static_cast<std::size_t>(lm.model->hidden_size()), 0.0);
  none["sources"] = nullptr;
  none["unit_locations"] = nullptr;
  const vene::SweepTable table = vene::run_sweep_spec(patch_spec().dump(), lm);
  const std::vector<double> expected = plainly(none, lm);
  for (std::int64_t row = 0; row < 2; ++row)
    EXPECT_NEAR(table.base[7][row].item<double>(), expected[static_cast<std::size_t>(row)], 1e-5);
}

TEST(SweepSpec, KlOfAnInterventionThatChangesNothingIsZero) {
  const auto lm = golden("gpt2_tied");
  Json spec = patch_spec();
  spec["sources"] = {{{"input_ids", spec["base"]["input_ids"]}}};
  spec["metric"] = "kl";
  const vene::SweepTable table = vene::run_sweep_spec(spec.dump(), lm);
  EXPECT_LT(table.values.abs().max().item<double>(), 1e-9);
}

TEST(SweepSpec, AFailedCellLeavesTheOthersAlone) {
  const auto lm = golden("gpt2_tied");
  Json spec = patch_spec();
  spec["axes"]["position"] = {0, 99, 1};
  spec["axes"]["layer"] = {0, 7};
  const vene::SweepTable table = vene::run_sweep_spec(spec.dump(), lm);
  EXPECT_EQ(table.failures.size(), 8U);
  EXPECT_EQ(table.label(table.failures[0].cell), "component=block_output, layer=0, position=99");
  EXPECT_THAT(table.failures[0].message, HasSubstr("99"));
  EXPECT_THAT(table.failures[1].message, HasSubstr("layer 7"));
  EXPECT_TRUE(std::isnan(table.values[1][0].item<double>()));
  EXPECT_FALSE(table.values[2].isnan().any().item<bool>());
  const std::string csv = vene::sweep_csv(table);
  EXPECT_THAT(csv, HasSubstr("component,layer,position,value,base\n"));
  EXPECT_THAT(csv, HasSubstr("block_output,0,99,,"));
  EXPECT_EQ(vene::sweep_maps(table).size(), 2U);
  spec["axes"]["position"] = {99};
  try {
    vene::run_sweep_spec(spec.dump(), lm);
    FAIL() << "a grid without a cell that can be run was accepted";
  } catch (const vene::ConfigError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("component=block_output, layer=0, position=99: "),
                                    HasSubstr("(and no other cell can be run)")));
  }
}

TEST(SweepSpec, ACancelledSweepSaysHowFarItCame) {
  const auto lm = golden("gpt2_tied");
  vene::SweepSpecOptions options;
  options.progress = [](std::size_t, std::size_t) { return false; };
  EXPECT_THROW(vene::run_sweep_spec(patch_spec().dump(), lm, ".", options), vene::PlanError);
}

TEST(SweepSpec, WhatIsWrongIsSaidInOneSentence) {
  const auto lm = golden("gpt2_tied");
  const auto refused = [&](const char* pointer, const Json& value, const std::string& expected) {
    Json spec = patch_spec();
    spec[Json::json_pointer(pointer)] = value;
    try {
      vene::run_sweep_spec(spec.dump(), lm);
      ADD_FAILURE() << "accepted: " << spec.dump();
    } catch (const vene::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(expected));
    }
  };
  refused("/axes", Json::object(), "axes: expected at least one axis");
  refused("/axes/layer", Json::array(), "axes.layer: an axis without values makes an empty grid");
  refused("/axes/layer", "some", "axes.layer: expected a list of values, {\"range\": [first, end]} or \"all\"");
  refused("/axes/component", "all", "axes.component: \"all\" is for the axes \"layer\" and \"position\"");
  refused("/axes/position", "all", "axes.position: \"all\" needs a base of texts of one length");
  refused("/axes/layer", Json::parse(R"({"range": [3, 1]})"), "axes.layer.range: expected [first, end]");
  refused("/axes/layer", Json::parse(R"({"range": [0, 10000002]})"), "more values than a table can hold");
  refused("/axes/scale", {1, 2}, "axes.scale: nothing in the spec says \"$scale\", so the axis changes nothing");
  refused("/config/representations/0/layer", "$layr",
          "axes: the spec has \"$layr\", and no axis of that name; did you mean 'layer'?");
  refused("/axes/a b", {1}, "an axis is named by letters, digits and _");
  refused("/metric/name", "logit", "metric.name");
  refused("/metric/answers", {10}, "needs a right and a wrong answer");
  refused("/metric/answers", Json::parse("[[1, 2], [3, 4], [5, 6]]"), "metric.answers: 3 lists for 2 rows of the base");
  refused("/metric/answers", {1, 100000}, "100000");
  refused("/generate", Json::parse(R"({"max_new_tokens": 2})"), "generate: a sweep measures single runs");
  refused("/base", Json::parse(R"({"inputs_embeds": [[[1]]]})"), "base: a sweep measures what follows texts");
}

}  // namespace
