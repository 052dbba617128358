// SPDX-License-Identifier: Apache-2.0
// Interventions by time step, against a plainly unrolled loop (tests/golden/recurrent).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/io/safetensors.h"
#include "vene/models/adapt.h"
#include "vene/models/gru.h"
#include "vene/models/load.h"
#include "vene/models/recurrent.h"

namespace vene {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;

const std::filesystem::path kFolder =
    std::filesystem::path(vene_test::kSourceFolder) / "tests" / "golden" / "recurrent";

std::map<std::string, Tensor> read_values(const std::string& file) {
  std::map<std::string, Tensor> values;
  for (const auto& [name, tensor] : io::read_tensors((kFolder / file).string())) values[name] = tensor.clone();
  return values;
}

// A stock module's weights in its unrolled form, as a model that gives the last layer's outputs.
template <class Unrolled, class Options>
std::shared_ptr<models::Model> adapted(Options options, const std::string& weights) {
  Unrolled module(options.num_layers(2).bidirectional(true).batch_first(true));
  models::load_parameters(*module, (kFolder / weights).string());
  models::AdaptOptions names;
  names.sites = module->named_sites();
  return models::adapt(
      module.ptr(),
      [module](const models::Batch& batch) mutable {
        models::Output output;
        output.logits = std::get<0>(module->forward(batch.inputs_embeds, {}));
        return output;
      },
      names);
}

std::shared_ptr<models::Model> model_named(const std::string& name) {
  if (name == "gru") return models::load((kFolder / "gru_classifier").string()).model;
  if (name == "torch_gru")
    return adapted<models::nn::UnrolledGRU>(torch::nn::GRUOptions(5, 4), "torch_gru.safetensors");
  if (name == "torch_rnn")
    return adapted<models::nn::UnrolledRNN>(torch::nn::RNNOptions(5, 4), "torch_rnn.safetensors");
  return adapted<models::nn::UnrolledLSTM>(torch::nn::LSTMOptions(5, 4), "torch_lstm.safetensors");
}

models::Batch batch_of(const Tensor& inputs, const Tensor& mask = {}) {
  models::Batch batch;
  batch.inputs_embeds = inputs;
  batch.attention_mask = mask;
  return batch;
}

void expect_close(const Tensor& actual, const Tensor& expected, const std::string& what = {}) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-5 * std::max(1.0, expected.abs().max().item<double>()))
      << what;
}

class StepsTest : public testing::Test {
 protected:
  std::shared_ptr<models::Model> model_ = model_named("gru");
  std::map<std::string, Tensor> values_ = read_values("steps.safetensors");
  models::Batch base_ = batch_of(values_.at("base"));
  models::Batch source_ = batch_of(values_.at("source"));

  static json representation(const std::string& component, std::int64_t layer, const std::string& type) {
    return {{"component", component}, {"layer", layer}, {"intervention_type", type}, {"unit", "t"}};
  }
  IntervenableModel make(const json& config) {
    return IntervenableModel(IntervenableConfig::parse(config.dump()), model_);
  }
  Result forward(const json& config, const RunRequest& request) { return make(config)->forward(request); }
  // The value of one site at every step of a plain run: [batch, steps, width].
  Tensor plain(const std::string& component, std::int64_t layer, const models::Batch& batch) {
    return forward(json::array({representation(component, layer, "collect")}), {.base = batch}).collected[0].value;
  }
  // What a lambda at layer 0's output gives.
  Result lambda(InterventionFunction function, const models::Batch& batch, const Locations& locations,
                Traits traits = {.needs_source = false, .takes_source = true}) {
    RepresentationConfig place;
    place.component = "cell_output";
    place.unit = "t";
    place.intervention = make_lambda(std::move(function), traits);
    IntervenableConfig config;
    config.add_intervention(place);
    return IntervenableModel(config, model_)->forward({.base = batch, .locations = locations});
  }
};

TEST_F(StepsTest, EveryCaseEqualsThePlainlyUnrolledLoop) {
  const json cases = json::parse(std::ifstream(kFolder / "steps.json"));
  EXPECT_GE(cases.size(), 40U);
  for (const json& entry : cases) {
    const std::string name = entry.at("name");
    SCOPED_TRACE(name);
    model_ = model_named(entry.at("model"));
    json config = json::array(), sources = json::array(), bases = json::array();
    RunRequest request{.base = base_};
    for (const json& edit : entry.at("edits")) {
      config.push_back(representation(edit.at("component"), edit.at("layer"), edit.at("type")));
      sources.push_back(edit.at("source"));
      bases.push_back(edit.at("base"));
      if (edit.at("type") != "zero" && edit.at("type") != "collect") request.sources = {source_};
      if (edit.contains("columns"))
        request.subspaces = {SubspaceIds{{edit.at("columns").get<std::vector<std::int64_t>>()}}};
    }
    request.locations = Locations::parse(json{{"sources->base", {sources, bases}}}.dump());
    const Result result = forward(config, request);
    expect_close(result.intervened.logits, values_.at(name + ".result"));
    for (const Collected& collected : result.collected) {
      Tensor units = collected.value;
      const Tensor there =
          collected.valid.defined() ? collected.valid : torch::ones({units.size(0), units.size(1)}, torch::kBool);
      expect_close(units.index({there}), values_.at(name + ".collected." + std::to_string(collected.representation)));
      EXPECT_EQ(units.index({~there}).abs().sum().item<double>(), 0) << "places that a row does not have read as zero";
    }
  }
}

TEST_F(StepsTest, ABatchEqualsItsRowsAlone) {
  const json config =
      json::array({representation("cell_output", 0, "vanilla"), representation("new_gate_output", 1, "addition")});
  const json from = {{{3}, {6, 0}, {1, 2}}, {{0}, {1}, {2}}}, into = {{{0}, {4, 1}, {2, 3}}, {{1}, {2}, {3}}};
  const Result together =
      forward(config, {.base = base_,
                       .sources = {source_},
                       .locations = Locations::parse(json{{"sources->base", {from, into}}}.dump())});
  for (std::int64_t row = 0; row < 3; ++row) {
    const json own_from = json::array({json::array({from[0][row]}), json::array({from[1][row]})});
    const json own_into = json::array({json::array({into[0][row]}), json::array({into[1][row]})});
    const Result alone =
        forward(config, {.base = batch_of(base_.inputs_embeds.narrow(0, row, 1)),
                         .sources = {batch_of(source_.inputs_embeds.narrow(0, row, 1))},
                         .locations = Locations::parse(json{{"sources->base", {own_from, own_into}}}.dump())});
    expect_close(together.intervened.logits[row], alone.intervened.logits[0], "row " + std::to_string(row));
  }
}

TEST_F(StepsTest, StepsCountWithinARowsOwnTextAtEitherPadding) {
  const std::vector<std::int64_t> lengths{5, 2, 3};
  for (const bool left : {true, false}) {
    Tensor inputs = torch::randn({3, 5, 5}), mask = torch::zeros({3, 5}, torch::kInt64);
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::int64_t begin = left ? 5 - lengths[row] : 0;
      inputs[row].narrow(0, begin, lengths[row]).copy_(base_.inputs_embeds[row].narrow(0, 0, lengths[row]));
      mask[row].narrow(0, begin, lengths[row]).fill_(1);
    }
    const json config =
        json::array({representation("cell_output", 0, "zero"), representation("cell_output", 1, "collect")});
    for (const Locations& locations :
         {Locations(last()), Locations(at(1)), Locations(first() + at(-1)), per_row({{4}, {-1, 0}, {2}})}) {
      const Result together = forward(config, {.base = batch_of(inputs, mask), .locations = locations});
      for (std::int64_t row = 0; row < 3; ++row) {
        Locations own = locations;
        for (auto& [name, hop] : own.hops) {
          for (UnitSelection& unit : hop.base.units) {
            if (unit && (*unit)[0].rows.size() > 1) (*unit)[0].rows = {(*unit)[0].rows[row]};
          }
        }
        const Result alone = forward(
            config,
            {.base = batch_of(base_.inputs_embeds.narrow(0, row, 1).narrow(1, 0, lengths[row])), .locations = own});
        expect_close(together.intervened.logits[row], alone.intervened.logits[0], "row " + std::to_string(row));
        const Tensor units = alone.collected[0].value;
        expect_close(together.collected[0].value[row].narrow(0, 0, units.size(1)), units[0]);
      }
    }
  }
}

TEST_F(StepsTest, OnlyTheListedStepsOfARowChange) {
  const Tensor before = plain("cell_output", 0, base_);
  const json config =
      json::array({representation("cell_output", 0, "zero"), representation("cell_output", 0, "collect")});
  const Result result =
      forward(config, {.base = base_,
                       .locations = Locations::parse(
                           R"({"base": [[[3], [], [1]], [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]]})")});
  const Tensor after = result.collected[0].value;
  EXPECT_TRUE(torch::equal(after[0].narrow(0, 0, 3), before[0].narrow(0, 0, 3)));
  EXPECT_EQ(after[0][3].abs().sum().item<double>(), 0);
  EXPECT_GT((after[0][4] - before[0][4]).abs().max().item<double>(), 1e-3) << "what follows feels it";
  EXPECT_TRUE(torch::equal(after[1], before[1])) << "a row with an empty list stays";
  EXPECT_TRUE(torch::equal(after[2][0], before[2][0]));
  EXPECT_EQ(after[2][1].abs().sum().item<double>(), 0);
  EXPECT_EQ(result.fired[0].count, 2) << "steps 1 and 3";
}

TEST_F(StepsTest, WithoutLocationsEveryStepIsActedOnAndCollected) {
  const Result zero = forward(json::array({representation("cell_output", 1, "zero")}), {.base = base_});
  EXPECT_EQ(zero.intervened.last_hidden_state.abs().sum().item<double>(), 0);
  EXPECT_EQ(zero.fired[0].count, 5);
  const Tensor collected = plain("cell_output", 1, base_);
  expect_close(collected, model_->forward(base_).last_hidden_state);
  const Result swapped =
      forward(json::array({representation("cell_output", 1, "vanilla")}), {.base = base_, .sources = {source_}});
  expect_close(swapped.intervened.last_hidden_state, plain("cell_output", 1, source_).narrow(1, 0, 5));
}

TEST_F(StepsTest, ConstantsAreOneForAllOneAStepOrOneARowAndStep) {
  const Tensor steps = torch::randn({3, 2, 5});
  const Locations places = per_row({{0, 3}, {4, 1}, {2, 0}});
  const json config =
      json::array({representation("cell_output", 0, "vanilla"), representation("cell_output", 0, "collect")});
  for (const Tensor& constant :
       {steps[0][0], steps[0].narrow(0, 1, 1), steps[1], steps, steps.narrow(0, 2, 1), steps.narrow(1, 1, 1)}) {
    Tensor expected = constant;
    while (expected.dim() < 3) expected = expected.unsqueeze(0);
    const Result result =
        forward(config, {.base = base_, .locations = places, .source_representations = {constant, Tensor()}});
    expect_close(result.collected[0].value, expected.expand({3, 2, 5}));
  }
  // One row less than the batch acts at step 1, so the row of the constant is not the row of what it is put into.
  const Result partial = forward(
      config,
      {.base = base_, .locations = per_row({{0, 3}, {1}, {1, 0}}), .source_representations = {steps, Tensor()}});
  expect_close(partial.collected[0].value[1][0], steps[1][0]);
  expect_close(partial.collected[0].value[2], steps[2]);
}

TEST_F(StepsTest, ASourceOfOneRowServesAllRows) {
  const json config =
      json::array({representation("cell_output", 0, "vanilla"), representation("cell_output", 0, "collect")});
  const models::Batch one = batch_of(source_.inputs_embeds.narrow(0, 1, 1));
  const Tensor from = plain("cell_output", 0, one)[0];
  const Result result = forward(
      config, {.base = base_,
               .sources = {one, std::nullopt},
               .locations = Locations::parse(
                   R"({"sources->base": [[[[6], [5], [4]], [[6], [5], [4]]], [[[0], [1], [2]], [[0], [1], [2]]]]})")});
  for (std::int64_t row = 0; row < 3; ++row) expect_close(result.collected[0].value[row][0], from[6 - row]);
}

TEST_F(StepsTest, LambdasActByStepAndKeepStateFromStepToStep) {
  const Tensor before = plain("cell_output", 0, base_);
  std::vector<std::int64_t> calls;
  const Result one = lambda(
      [&](const Tensor& value, const Tensor&, const Subspace&) {
        calls.push_back(current_firing().call);
        EXPECT_EQ(value.size(0), current_firing().rows.defined() ? current_firing().rows.numel() : 3);
        return value * 2;
      },
      base_, per_row({{1}, {1, 3}, {1}}));
  EXPECT_EQ(calls, (std::vector<std::int64_t>{1, 3}));
  // A running mean of what it has seen: a setter with a state of its own, empty again in the next run.
  auto running_mean = [&](const Tensor& value, const Tensor&, const Subspace&) {
    auto& seen = *current_firing().state;
    if (!seen.has_value()) seen = std::vector<Tensor>();
    auto& kept = std::any_cast<std::vector<Tensor>&>(seen);
    kept.push_back(value);
    return torch::stack(kept).mean(0);
  };
  auto by_hand = [&](const Tensor& inputs) {
    models::GRU& gru = dynamic_cast<models::GRU&>(*model_);
    std::vector<Tensor> kept;
    HookTable table;
    const Site& site = gru.sites().find("cell_output", 0);
    table.on(site.id, site.phase, [&](const HookContext& context) {
      kept.push_back(context.value());
      context.value() = torch::stack(kept).mean(0);
    });
    const HookScope scope(table);
    return gru.forward(batch_of(inputs)).logits;
  };
  const Tensor expected = by_hand(base_.inputs_embeds);
  for (int run = 0; run < 2; ++run) expect_close(lambda(running_mean, base_, {}).intervened.logits, expected);
  EXPECT_THAT([] { current_firing(); },
              ThrowsMessage<PlanError>(HasSubstr("no run is calling an intervention on this thread")));
}

TEST_F(StepsTest, GradientsReachSourcesAndConstantsThroughTheSteps) {
  Tensor source = source_.inputs_embeds.clone().requires_grad_(), constant = torch::zeros({5}).requires_grad_();
  const json config =
      json::array({representation("cell_output", 0, "vanilla"), representation("cell_output", 1, "addition")});
  const Result result = forward(
      config, {.base = base_,
               .sources = {batch_of(source), std::nullopt},
               .locations = Locations::parse(
                   R"({"sources->base": [[[[3], [3], [3]], [[2], [2], [2]]], [[[1], [1], [1]], [[2], [2], [2]]]]})"),
               .source_representations = {Tensor(), constant}});
  result.intervened.logits.sum().backward();
  EXPECT_GT(source.grad().narrow(1, 0, 4).abs().max().item<double>(), 0);
  EXPECT_EQ(source.grad().narrow(1, 4, 3).abs().max().item<double>(), 0) << "steps after the one that is read";
  EXPECT_GT(constant.grad().abs().max().item<double>(), 0);
}

TEST_F(StepsTest, SourceRunsEndAfterTheLastStepThatIsRead) {
  int calls = 0;
  auto counting = models::adapt(model_, [&, model = model_](const models::Batch& batch) {
    models::Output output = model->forward(batch);
    ++calls;
    return output;
  });
  IntervenableConfig config = IntervenableConfig::parse(
      R"([{"component": "gru.cells.0.output", "unit": "t", "intervention_type": "vanilla"}])");
  IntervenableModel(config, counting)->forward({.base = base_, .sources = {source_}, .locations = at(2)});
  EXPECT_EQ(calls, 1) << "the base's forward returned, the source's was ended";
}

TEST_F(StepsTest, ErrorsSayWhereAndWhatWasExpected) {
  auto run = [&](const std::string& type, const Locations& locations,
                 std::vector<std::optional<models::Batch>> sources = {}, std::vector<Tensor> constants = {}) {
    return [=, this] {
      forward(json::array({representation("cell_output", 0, type)}),
              {.base = base_, .sources = sources, .locations = locations, .source_representations = constants});
    };
  };
  EXPECT_THAT(run("zero", at(5)), ThrowsMessage<LocationError>(HasSubstr("5 is out of range: the row has 5, 0 to 4")));
  EXPECT_THAT(run("zero", per_row({{1}, {1, 1}, {0}})),
              ThrowsMessage<LocationError>(HasSubstr("row 1: a step is listed twice")));
  EXPECT_THAT(run("zero", per_row({{}, {}, {}})), ThrowsMessage<LocationError>(HasSubstr("select no step in any row")));
  EXPECT_THAT(run("vanilla", from(at(7), at(0)), {source_}),
              ThrowsMessage<LocationError>(HasSubstr("source, row 0: position 7 is out of range: the row has 7")));
  EXPECT_THAT(run("vanilla", from(first(2), at(0)), {source_}),
              ThrowsMessage<LocationError>(HasSubstr("2 source steps for 1 base steps")));
  EXPECT_THAT(run("vanilla", at({0, 1}), {}, {torch::zeros({3, 5})}),
              ThrowsMessage<PlanError>(HasSubstr("a constant source of shape [3, 5] does not fit 2 steps of 3 rows; "
                                                 "expected [width], [steps, width] or [batch, steps, width]")));
  EXPECT_THAT(
      run("vanilla", {}, {}, {torch::zeros({2, 5})}),
      ThrowsMessage<PlanError>(HasSubstr("its constant source has 2 steps, and the site was called once more")));
  EXPECT_THAT(
      run("vanilla", {}, {batch_of(source_.inputs_embeds.narrow(1, 0, 3))}),
      ThrowsMessage<LocationError>(HasSubstr(
          "row 0: the source has 3 positions, what it writes into has 5; name the positions (unit_locations)")));
  // Where steps are a module's calls and no more is known of them.
  auto unknown = IntervenableModel(
      IntervenableConfig::parse(R"([{"component": "gru.cells.0.output", "unit": "t", "intervention_type": "zero"}])"),
      models::adapt(model_, [model = model_](const models::Batch& batch) { return model->forward(batch); }));
  EXPECT_THAT([&] { unknown->forward({.base = base_, .locations = last()}); },
              ThrowsMessage<LocationError>(HasSubstr("from the end they are not known before the run")));
  EXPECT_THAT([&] { unknown->forward({.base = base_, .locations = at(5)}); },
              ThrowsMessage<PlanError>(HasSubstr("its write at step 5 never fired")));
  EXPECT_THAT(
      [&] {
        forward(json::array({{{"component", "cell_output"}, {"intervention_type", "zero"}}}), {.base = base_});
      },
      ThrowsMessage<PlanError>(HasSubstr("unit 't' picks the calls to act on")));
}

}  // namespace
}  // namespace vene
