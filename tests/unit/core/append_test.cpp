// SPDX-License-Identifier: Apache-2.0
// Interventions that join an experiment leave what it says of the others as it is.
#include <gmock/gmock.h>

#include "tests/test_folder.h"
#include "tests/unit/models/helpers.h"
#include "vene/base/error.h"
#include "vene/core/experiment.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

class AppendTest : public testing::Test {
 protected:
  models::LanguageModel lm{.model = small_gpt2()};
  const torch::Tensor push = torch::ones({16});

  Experiment experiment(const char* config) const {
    Experiment made;
    made.config = IntervenableConfig::parse(config);
    made.request = {.base = row_of({5, 9, 31, 2}),
                    .sources = {row_of({8, 3, 27, 1}), row_of({50, 50, 1, 12})},
                    .locations = from(at(1), at(2)),
                    .subspaces = {SubspaceIds{{{0, 1, 2}}}}};
    return made;
  }
  RepresentationConfig addition(const char* component) const {
    return {.layer = 1, .component = component, .intervention_type = "addition", .source_representation = push};
  }
  // The hidden state on top, that of a model without a head or with one.
  torch::Tensor output(const Experiment& made) const { return run_experiment(made, lm).intervened.last_hidden_state; }
};

constexpr const char* kPlain =
    R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "mlp_output"}])";

TEST_F(AppendTest, EachListGetsAnEmptyEntry) {
  for (
      const char* config :
      {kPlain,
       R"([{"layer": 0, "component": "block_output", "group_key": 0}, {"layer": 1, "component": "mlp_output", "group_key": 1}])"}) {
    Experiment joined = experiment(config), by_hand = joined;
    const torch::Tensor without = output(joined);
    append_interventions(joined, {addition("attention_output")}, lm);
    EXPECT_FALSE(torch::equal(output(joined), without));

    RepresentationConfig third = addition("attention_output");
    third.group_key = by_hand.config.representations[1].group_key;
    by_hand.config.add_intervention(third);
    RunRequest& request = by_hand.request;
    if (!third.group_key) request.sources.push_back(std::nullopt);
    request.subspaces = {request.subspaces[0], request.subspaces[0], std::nullopt};
    HopSelection& hop = request.locations.hops.begin()->second;
    for (SideSelection* side : {&*hop.source, &hop.base})
      *side = {.for_all = false, .units = {side->units[0], side->units[0], std::nullopt}};
    EXPECT_TRUE(torch::equal(output(joined), output(by_hand)));
  }
}

TEST_F(AppendTest, ASavedFolderKeepsItsWeights) {
  const TestFolder folder;
  Experiment joined = experiment(
      R"([{"layer": 0, "component": "block_output", "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2}])");
  joined.request.sources.pop_back();
  joined.request.subspaces.clear();
  IntervenableModel(joined.config, lm.model)->save(folder.path());
  joined.config_folder = folder.path();
  Experiment saved = joined, nothing = joined;
  RepresentationConfig zero = addition("mlp_output");
  zero.source_representation = torch::zeros({16});
  append_interventions(nothing, {zero}, lm);
  EXPECT_TRUE(torch::equal(output(nothing), output(saved)));
  append_interventions(joined, {addition("mlp_output")}, lm);
  EXPECT_FALSE(torch::equal(output(joined), output(saved)));
}

TEST_F(AppendTest, SerialModeIsRefused) {
  Experiment serial = experiment(kPlain);
  serial.config.mode = Mode::kSerial;
  EXPECT_THAT([&] { append_interventions(serial, {addition("mlp_output")}, lm); },
              ThrowsMessage<PlanError>(HasSubstr("a config in serial mode takes no further interventions")));
}

}  // namespace
}  // namespace vene
