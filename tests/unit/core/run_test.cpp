// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::indexing::Slice;
using namespace vene_test;

class RunTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  models::Batch base_ = ids({{1, 2, 3, 4}, {5, 6, 7, 8}});
  models::Batch source_ = ids({{9, 8, 7, 6}, {4, 3, 2, 1}});
  models::Batch other_ = ids({{0, 10, 0, 10}, {2, 4, 6, 8}});

  IntervenableModel make(const std::string& json) { return IntervenableModel(IntervenableConfig::parse(json), model_); }
  Result forward(const std::string& config, const RunRequest& request) { return make(config).ptr()->forward(request); }
  // A value of a plain run.
  Tensor value(const models::Batch& batch, std::int64_t layer, const std::string& name) {
    Tensor found;
    by_hand(*model_, batch, [&](std::int64_t l, const std::string& n, Tensor v) {
      if (l == layer && n == name) found = v.clone();
      return v;
    });
    return found;
  }
  Tensor edited(const models::Batch& batch, std::int64_t layer, const std::string& name,
                const std::function<Tensor(Tensor)>& change) {
    return by_hand(*model_, batch, [&](std::int64_t l, const std::string& n, Tensor v) {
      return l == layer && n == name ? change(v.clone()) : v;
    });
  }
  static void expect_close(const Tensor& a, const Tensor& b) {
    ASSERT_EQ(a.sizes(), b.sizes());
    EXPECT_LT((a - b).abs().max().item<double>(), 1e-6);
  }
};

TEST_F(RunTest, VanillaPutsTheSourcesValueIntoTheBase) {
  const Result result =
      forward(R"([{"layer": 1, "component": "block_output"}])",
              {.base = base_, .sources = {source_}, .locations = from(at(0), at(2)), .original = true});
  expect_close(result.original->logits, by_hand(*model_, base_));
  const Tensor from_source = value(source_, 1, "block_output");
  expect_close(result.intervened.logits, edited(base_, 1, "block_output", [&](Tensor v) {
                 v.index_put_({Slice(), 2}, from_source.index({Slice(), 0}));
                 return v;
               }));
  ASSERT_EQ(result.fired.size(), 1U);
  EXPECT_EQ(result.fired[0].count, 1);
}

TEST_F(RunTest, HeadsAtPositionsTouchTheirColumnsOnly) {
  const Result result =
      forward(R"([{"layer": 0, "component": "head_inner", "unit": "h.pos", "intervention_type": "zero"}])",
              {.base = base_, .locations = heads_at({0, 2}, at({1, 3}))});
  expect_close(result.intervened.logits, edited(base_, 0, "inner", [](Tensor v) {
                 for (std::int64_t pos : {1, 3}) {
                   v.index_put_({Slice(), pos, Slice(0, 2)}, 0.F);
                   v.index_put_({Slice(), pos, Slice(4, 6)}, 0.F);
                 }
                 return v;
               }));
}

TEST_F(RunTest, WithoutLocationsTheWholeValueIsExchanged) {
  const Result result = forward(R"([{"layer": 2, "component": "mlp_output"}])", {.base = base_, .sources = {source_}});
  const Tensor from_source = value(source_, 2, "mlp_output");
  expect_close(result.intervened.logits, edited(base_, 2, "mlp_output", [&](Tensor) { return from_source; }));
}

TEST_F(RunTest, TwoSourcesInParallelAreBothCleanRuns) {
  const Result result =
      forward(R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "block_output"}])",
              {.base = base_, .sources = {source_, other_}, .locations = at(1)});
  const Tensor first = value(source_, 0, "block_output");
  const Tensor second = value(other_, 1, "block_output");
  expect_close(result.intervened.logits, by_hand(*model_, base_, [&](std::int64_t l, const std::string& n, Tensor v) {
                 if (n == "block_output" && l == 0) v = put(v, {Slice(), 1}, first.index({Slice(), 1}));
                 if (n == "block_output" && l == 1) v = put(v, {Slice(), 1}, second.index({Slice(), 1}));
                 return v;
               }));
}

TEST_F(RunTest, SerialModeSendsTheFirstSourceThroughTheSecond) {
  const Result result = forward(
      R"({"mode": "serial", "representations": [{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "block_output"}]})",
      {.base = base_,
       .sources = {source_, other_},
       .locations = Locations::parse(R"({"source_0->source_1": 1, "source_1->base": [2, 3]})")});
  const Tensor first = value(source_, 0, "block_output");
  Tensor second;
  by_hand(*model_, other_, [&](std::int64_t l, const std::string& n, Tensor v) {
    if (n == "block_output" && l == 0) v = put(v, {Slice(), 1}, first.index({Slice(), 1}));
    if (n == "block_output" && l == 1) second = v.clone();
    return v;
  });
  expect_close(result.intervened.logits, edited(base_, 1, "block_output", [&](Tensor v) {
                 v.index_put_({Slice(), 3}, second.index({Slice(), 2}));
                 return v;
               }));
}

TEST_F(RunTest, ANullSourceLeavesItsInterventionOut) {
  const std::string config =
      R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "block_output"}])";
  const Result both = forward(config, {.base = base_, .sources = {std::nullopt, source_}, .locations = at(1)});
  const Result alone = forward(R"([{"layer": 1, "component": "block_output"}])",
                               {.base = base_, .sources = {source_}, .locations = at(1)});
  expect_close(both.intervened.logits, alone.intervened.logits);
  EXPECT_THAT(
      [&] {
        forward(config, {.base = base_, .sources = {std::nullopt, std::nullopt}, .locations = at(1)});
      },
      ThrowsMessage<PlanError>(HasSubstr("every intervention is left out")));
}

TEST_F(RunTest, OneSourceServingManySitesRunsOnceAndStopsEarly) {
  auto intervenable = make(R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "block_output"}])");
  model_->begun = model_->blocks_run = 0;
  intervenable->forward({.base = base_, .sources = {source_}, .locations = at(1)});
  EXPECT_EQ(model_->begun, 2) << "one source run, one base run";
  EXPECT_EQ(model_->blocks_run, 2 + 3) << "the source run ends after block 1";
  model_->begun = 0;
  intervenable->forward({.base = base_, .sources = {source_, ids({{9, 8, 7, 6}, {4, 3, 2, 1}})}, .locations = at(1)});
  EXPECT_EQ(model_->begun, 2) << "equal sources are one";
}

TEST_F(RunTest, GroupedRepresentationsShareASource) {
  const std::string grouped =
      R"([{"layer": 0, "component": "block_output", "group_key": 0}, {"layer": 1, "component": "block_output", "group_key": 0},
                                  {"layer": 2, "component": "block_output", "group_key": 1}])";
  const std::string plain =
      R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "block_output"}, {"layer": 2, "component": "block_output"}])";
  expect_close(
      forward(grouped, {.base = base_, .sources = {source_, other_}, .locations = at(1)}).intervened.logits,
      forward(plain, {.base = base_, .sources = {source_, source_, other_}, .locations = at(1)}).intervened.logits);
}

TEST_F(RunTest, CollectSeesWhatWasWrittenUpstreamAndAtItsOwnSite) {
  const Result result = forward(R"([{"layer": 0, "component": "block_output", "intervention_type": "zero"},
                                    {"layer": 1, "component": "block_output", "intervention_type": "collect"},
                                    {"layer": 0, "component": "block_output", "intervention_type": "collect"}])",
                                {.base = base_, .locations = at({1, 2})});
  Tensor seen;
  by_hand(*model_, base_, [&](std::int64_t l, const std::string& n, Tensor v) {
    if (n == "block_output" && l == 0) v = put(v, {Slice(), Slice(1, 3)}, 0.F);
    if (n == "block_output" && l == 1) seen = v.clone();
    return v;
  });
  ASSERT_EQ(result.collected.size(), 2U);
  expect_close(result.collected[0].value, seen.slice(1, 1, 3));
  EXPECT_EQ(result.collected[1].value.abs().max().item<float>(), 0.F);
  expect_close(result.collected_value("layer_1_comp_block_output_unit_pos_nunit_1#0"), seen.slice(1, 1, 3));
  EXPECT_THAT([&] { result.collected_value("layer_1_comp_block_output"); },
              ThrowsMessage<PlanError>(HasSubstr("did you mean 'layer_1_comp_block_output_unit_pos_nunit_1#0'")));
}

TEST_F(RunTest, CollectOnlyEndsTheRunAfterTheLastSite) {
  auto intervenable = make(R"([{"layer": 0, "component": "block_output", "intervention_type": "collect"}])");
  model_->blocks_run = 0;
  const Result result = intervenable->forward({.base = base_, .locations = last(), .collect_only = true});
  EXPECT_EQ(model_->blocks_run, 1);
  EXPECT_FALSE(result.intervened.logits.defined());
  expect_close(result.collected[0].value.squeeze(1), value(base_, 0, "block_output").select(1, 3));
}

TEST_F(RunTest, SkipReplacesAModulesOutputByItsInput) {
  const Result result = forward(R"([{"layer": 1, "component": "block_output", "intervention_type": "skip"}])",
                                {.base = base_, .sources = {base_}});
  expect_close(result.intervened.logits, by_hand(*model_, base_, [&](std::int64_t l, const std::string& n, Tensor v) {
                 static Tensor into;
                 if (l == 1 && n == "block_input") into = v;
                 return l == 1 && n == "block_output" ? into : v;
               }));
  EXPECT_THAT(
      [&] {
        forward(R"([{"layer": 1, "component": "inner", "intervention_type": "skip"}])",
                {.base = base_, .sources = {base_}});
      },
      ThrowsMessage<PlanError>(HasSubstr("skip takes the input of the site's module, and this site has none")));
}

TEST_F(RunTest, ConstantsFromConfigAndCallStandInForASource) {
  const Tensor vector = torch::tensor({1.F, -1.F, 2.F, 0.F, 3.F, 0.5F});
  const Tensor expected = edited(base_, 0, "block_output", [&](Tensor v) {
    v.index_put_({Slice(), 2}, v.index({Slice(), 2}) + vector);
    return v;
  });
  expect_close(
      forward(
          R"([{"layer": 0, "component": "block_output", "intervention_type": "addition", "source_representation": [1, -1, 2, 0, 3, 0.5]}])",
          {.base = base_, .locations = at(2)})
          .intervened.logits,
      expected);
  expect_close(forward(R"([{"layer": 0, "component": "block_output", "intervention_type": "addition"}])",
                       {.base = base_, .locations = at(2), .source_representations = {vector}})
                   .intervened.logits,
               expected);
}

TEST_F(RunTest, GradientsReachConstantsSourcesAndTheBase) {
  Tensor vector = torch::randn({6}, torch::kFloat64).set_requires_grad(true);
  model_->to(torch::kFloat64);
  auto intervenable = make(R"([{"layer": 0, "component": "block_output", "intervention_type": "addition"}])");
  auto loss = [&](const Tensor& v) {
    return intervenable->forward({.base = base_, .locations = at(2), .source_representations = {v}})
        .intervened.logits.pow(2)
        .sum();
  };
  loss(vector).backward();
  for (std::int64_t i = 0; i < 6; ++i) {
    const Tensor step = put(torch::zeros({6}, torch::kFloat64), {i}, 1e-6);
    const double numeric = (loss(vector.detach() + step) - loss(vector.detach() - step)).item<double>() / 2e-6;
    EXPECT_NEAR(vector.grad()[i].item<double>(), numeric, 1e-4 * std::max(1.0, std::abs(numeric)));
  }
  // Through a source run: its embeddings get a gradient.
  models::Batch source;
  source.inputs_embeds = torch::randn({2, 4, 6}, torch::kFloat64).set_requires_grad(true);
  make(R"([{"layer": 1, "component": "block_output"}])")
      ->forward({.base = base_, .sources = {source}, .locations = at(1)})
      .intervened.logits.sum()
      .backward();
  EXPECT_GT(source.inputs_embeds.grad().abs().sum().item<double>(), 0);
  EXPECT_EQ(source.inputs_embeds.grad().slice(1, 2, 4).abs().sum().item<double>(), 0)
      << "later positions were not read";
}

TEST_F(RunTest, RaggedRowsActOnlyWhereTheyList) {
  const Result result = forward(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])",
                                {.base = base_, .locations = Locations::parse(R"({"base": [[0, 3], []]})")});
  expect_close(result.intervened.logits, edited(base_, 1, "block_output", [](Tensor v) {
                 v.index_put_({0, 0}, 0.F);
                 v.index_put_({0, 3}, 0.F);
                 return v;
               }));
}

TEST_F(RunTest, ASingleSourceRowServesAllRowsOfTheBase) {
  const models::Batch one = ids({{9, 8, 7, 6}});
  const models::Batch twice = ids({{9, 8, 7, 6}, {9, 8, 7, 6}});
  const std::string config = R"([{"layer": 1, "component": "block_output"}])";
  expect_close(
      forward(config, {.base = base_, .sources = {one}, .locations = per_row({{0}, {2}})}).intervened.logits,
      forward(config, {.base = base_, .sources = {twice}, .locations = per_row({{0}, {2}})}).intervened.logits);
}

TEST_F(RunTest, SubspacesLimitTheColumns) {
  const Result result =
      forward(R"([{"layer": 1, "component": "block_output", "subspace_partition": [[0, 2], [2, 6]]}])",
              {.base = base_, .sources = {source_}, .locations = at(1), .subspaces = {SubspaceIds{{{0}, {1}}}}});
  const Tensor from_source = value(source_, 1, "block_output");
  expect_close(result.intervened.logits, edited(base_, 1, "block_output", [&](Tensor v) {
                 v.index_put_({0, 1, Slice(0, 2)}, from_source.index({0, 1, Slice(0, 2)}));
                 v.index_put_({1, 1, Slice(2, 6)}, from_source.index({1, 1, Slice(2, 6)}));
                 return v;
               }));
}

TEST_F(RunTest, LinkedRepresentationsShareOneInterventionObjectAndComposeOnTheLiveValue) {
  auto intervenable = make(
      R"([{"layer": 0, "component": "block_output", "intervention_type": "addition", "intervention_link_key": "v", "source_representation": [1,1,1,1,1,1]},
                               {"layer": 1, "component": "block_output", "intervention_type": "addition", "intervention_link_key": "v"}])");
  EXPECT_EQ(intervenable->interventions()[0], intervenable->interventions()[1]);
  const Result result = intervenable->forward({.base = base_, .locations = at(1)});
  expect_close(result.intervened.logits, by_hand(*model_, base_, [&](std::int64_t l, const std::string& n, Tensor v) {
                 return n == "block_output" && l < 2 ? put(v, {Slice(), 1}, v.index({Slice(), 1}) + 1) : v;
               }));
}

TEST_F(RunTest, PathsNameSitesAsWellAsComponentsDo) {
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(1)};
  expect_close(forward(R"([{"component": "block_1.output"}])", request).intervened.logits,
               forward(R"([{"layer": 1, "component": "block_output"}])", request).intervened.logits);
}

TEST_F(RunTest, RunningTwiceGivesTheSameAnswerAndLeavesEverythingAlone) {
  auto intervenable = make(R"([{"layer": 1, "component": "block_output"}])");
  std::vector<std::optional<models::Batch>> sources{source_};
  const Tensor ids_before = base_.input_ids.clone();
  const Tensor clean_before = model_->forward(base_).logits;
  const Result once = intervenable->forward({.base = base_, .sources = sources, .locations = at(1)});
  // Ragged locations after an int must not be read as the int (pyvene keeps use_fast for ever).
  const Result ragged = intervenable->forward({.base = base_, .sources = sources, .locations = per_row({{2}, {3}})});
  const Result twice = intervenable->forward({.base = base_, .sources = sources, .locations = at(1)});
  EXPECT_TRUE(torch::equal(once.intervened.logits, twice.intervened.logits));
  const Tensor from_source = value(source_, 1, "block_output");
  expect_close(ragged.intervened.logits, edited(base_, 1, "block_output", [&](Tensor v) {
                 v.index_put_({0, 2}, from_source[0][2]);
                 v.index_put_({1, 3}, from_source[1][3]);
                 return v;
               }));
  EXPECT_EQ(sources.size(), 1U);
  EXPECT_TRUE(torch::equal(base_.input_ids, ids_before));
  EXPECT_TRUE(torch::equal(model_->forward(base_).logits, clean_before));
}

TEST_F(RunTest, OtherPeoplesHooksStillFireAfterwards) {
  HookTable table;
  int fired = 0;
  table.on(model_->blocks[0]->site_id(), Phase::kOutput, [&](const HookContext&) { ++fired; });
  HookScope scope(table);
  model_->forward(base_);
  make(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])")
      ->forward({.base = base_, .locations = at(1), .original = true});
  model_->forward(base_);
  EXPECT_EQ(fired, 2) << "before and after, not within the run's own scope";
}

TEST_F(RunTest, TwoThreadsRunTwoPlansOnOneModel) {
  auto zero = make(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])");
  auto swap = make(R"([{"layer": 0, "component": "block_output"}])");
  const RunRequest zero_request{.base = base_, .locations = at(1)};
  const RunRequest swap_request{.base = base_, .sources = {source_}, .locations = at(2)};
  const Plan zero_plan = zero->compile(zero_request);
  const Plan swap_plan = swap->compile(swap_request);
  const Tensor zero_alone = run(zero_plan, base_).intervened.logits;
  const Tensor swap_alone = run(swap_plan, base_, {source_}).intervened.logits;
  std::atomic<int> wrong{0};
  auto repeat = [&](const Plan& plan, const std::vector<std::optional<models::Batch>>& sources,
                    const Tensor& expected) {
    for (int i = 0; i < 200; ++i) wrong += torch::equal(run(plan, base_, sources).intervened.logits, expected) ? 0 : 1;
  };
  std::thread first([&] { repeat(zero_plan, {}, zero_alone); });
  std::thread second([&] { repeat(swap_plan, {source_}, swap_alone); });
  std::thread third([&] { repeat(zero_plan, {}, zero_alone); });
  first.join();
  second.join();
  third.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(RunTest, CollectedValuesAreTheCallersOwn) {
  auto intervenable = make(R"([{"layer": 0, "component": "block_output", "intervention_type": "collect"}])");
  Result result = intervenable->forward({.base = base_});
  const Tensor logits = result.intervened.logits.clone();
  result.collected[0].value.zero_();
  EXPECT_TRUE(torch::equal(intervenable->forward({.base = base_}).intervened.logits, logits));
}

TEST_F(RunTest, ARunMayStartAtABlockAndComputeLogitsWhereAsked) {
  auto intervenable = make(R"([{"layer": 2, "component": "block_output", "intervention_type": "zero"}])");
  const RunRequest request{.base = base_, .locations = at(1)};
  const Plan plan = intervenable->compile(request);
  EXPECT_EQ(plan.first_stage(), 2);
  const Result whole = run(plan, base_);
  RunOptions options;
  options.start = StartState{model_->run(model_->begin(base_), 0, 2), 2};
  options.logit_positions = torch::tensor({1, 3});
  model_->blocks_run = 0;
  const Result part = run(plan, base_, {}, options);
  EXPECT_EQ(model_->blocks_run, 1);
  expect_close(part.intervened.logits, whole.intervened.logits.index_select(1, torch::tensor({1, 3})));
}

TEST_F(RunTest, ErrorsSayWhereAndWhatWasExpected) {
  auto message = [&](const std::string& config, const RunRequest& request, const char* text) {
    EXPECT_THAT([&] { forward(config, request); }, ThrowsMessage<Error>(HasSubstr(text))) << config;
  };
  const std::string vanilla = R"([{"layer": 1, "component": "block_output"}])";
  const std::string zero = R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])";
  message(vanilla, {.base = base_, .locations = at(1)},
          "representations[0] (layer_1_comp_block_output_unit_pos_nunit_1#0): this intervention needs a source, and "
          "none is given");
  message(vanilla, {.base = base_, .sources = {source_, source_, source_}}, "sources: 3 given, expected 1");
  message(zero, {.base = base_, .sources = {source_}, .locations = at(1)},
          "a source is given, but no intervention takes one");
  message(zero, {.base = base_, .locations = at(4)}, "position 4 is out of range: the row has 4");
  message(zero, {.base = base_, .locations = per_row({{1}, {1}, {1}})}, "locations for 3 rows, but the batch has 2");
  message(zero, {.base = base_, .locations = Locations::parse(R"({"base": [[[1]], [[1]]]})")}, "locations for");
  message(zero, {.base = base_, .locations = heads_at({0}, at(1))},
          "unit 'pos' takes one list of units, not heads and positions");
  message(zero, {.base = base_, .locations = at(std::vector<std::int64_t>{})}, "select no unit in any row");
  message(zero, {.base = base_, .locations = at({1, 1})}, "lists the same unit twice");
  message(zero, {.base = {}}, "base: expected at least one row");
  message(vanilla, {.base = base_, .sources = {ids({{1, 2}, {1, 2}, {1, 2}})}, .locations = at(1)},
          "its source has 3 rows, what it writes into has 2");
  message(R"([{"layer": 9, "component": "block_output"}])", {.base = base_, .sources = {source_}},
          "layer 9 of component 'block_output' does not exist: layers are 0 to 2");
  message(R"([{"component": "blok_output"}])", {.base = base_, .sources = {source_}},
          "no component 'blok_output'; did you mean 'block_output'");
  message(R"([{"component": "block_7.output"}])", {.base = base_, .sources = {source_}},
          "no site at path 'block_7.output'; did you mean");
  message(R"([{"component": "block_output", "unit": "h"}])", {.base = base_, .sources = {source_}, .locations = at(0)},
          "unit 'h' needs a value with heads");
  message(zero, {.base = base_, .collect_only = true}, "collect_only is set, but no intervention collects");
  message(zero, {.base = base_, .locations = Locations::parse(R"({"source_0->base": 1})")},
          "no hop 'source_0->base' in parallel mode; did you mean 'sources->base'");
  message(R"({"mode": "serial", "representations": [{"layer": 0}, {"layer": 1}]})",
          {.base = base_, .sources = {source_, other_}, .locations = at(1)}, "no hop 'sources->base' in serial mode");
}

TEST_F(RunTest, APlanRefusesInputsOfAnotherShape) {
  auto intervenable = make(R"([{"layer": 1, "component": "block_output"}])");
  const Plan plan = intervenable->compile({.base = base_, .sources = {source_}, .locations = at(1)});
  EXPECT_THAT(
      [&] {
        run(plan, ids({{1, 2, 3}}), {source_});
      },
      ThrowsMessage<PlanError>(HasSubstr("base has shape [1, 3], the plan was compiled for [2, 4]")));
  EXPECT_THAT([&] { run(plan, base_, {}); },
              ThrowsMessage<PlanError>(HasSubstr("0 sources given, the plan was compiled for 1")));
}

TEST_F(RunTest, LambdasSeeBaseAndSourceAndMayLeaveThingsAlone) {
  IntervenableConfig config;
  RepresentationConfig representation;
  representation.layer = 1;
  int calls = 0;
  representation.intervention = make_lambda([&](const Tensor& base, const Tensor& source, const Subspace&) {
    ++calls;
    return source.defined() ? base * 2 + source : Tensor();
  });
  config.add_intervention(representation);
  IntervenableModel intervenable(config, model_);
  const Tensor from_source = value(source_, 1, "block_output");
  expect_close(intervenable->forward({.base = base_, .sources = {source_}, .locations = at(1)}).intervened.logits,
               edited(base_, 1, "block_output", [&](Tensor v) {
                 v.index_put_({Slice(), 1}, v.index({Slice(), 1}) * 2 + from_source.index({Slice(), 1}));
                 return v;
               }));
  expect_close(intervenable->forward({.base = base_, .locations = at(1)}).intervened.logits, by_hand(*model_, base_));
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace vene
