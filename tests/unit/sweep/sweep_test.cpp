// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/sweep.h"

#include <gmock/gmock.h>

#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/models/gpt2.h"
#include "vene/sweep/causal_trace.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

class SweepTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  models::Batch source_ = ids({{9, 8, 7, 6, 5}});
  models::Batch base_ = ids({{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}});
  Tensor noise_ = torch::randn({2, 2, 6});
  SweepMetric metric_ = [](const Tensor& logits) { return torch::softmax(logits.select(1, -1), -1).select(1, 3); };

  Sweep make() {
    Sweep sweep;
    sweep.config = IntervenableConfig::parse(
        R"([{"layer": 0, "component": "block_output"}, {"layer": 1, "component": "mlp_output"},
                                                 {"layer": 2, "component": "block_output"}, {"layer": 1, "component": "head_inner", "unit": "h.pos"},
                                                 {"layer": 2, "component": "inner", "intervention_type": "zero"}])");
    sweep.base = base_;
    sweep.source = source_;
    sweep.background = IntervenableConfig::parse(R"([{"component": "embedding", "intervention_type": "addition"}])");
    sweep.background_locations = at({1, 2});
    sweep.background_sources = {noise_};
    for (std::int64_t row = 0; row < 2; ++row) {
      for (std::int64_t position = 0; position < 5; ++position) {
        sweep.cells.push_back({row, {{2, {position}, {}, {}}}});
        sweep.cells.push_back(
            {row, {{0, {position}, {}, {}}, {1, {position, 4 - position == position ? 0 : 4 - position}, {}, {}}}});
        sweep.cells.push_back({row, {{3, {position}, {0, 2}, {4 - position}}}});
        sweep.cells.push_back({row, {{4, {position}, {}, {}}}});
      }
    }
    return sweep;
  }

  // One cell as a run of its own.
  double alone(const Sweep& sweep, const Cell& cell) {
    IntervenableConfig config = sweep.background;
    const bool noised = !config.representations.empty();
    RunRequest request;
    auto row = [&](const Tensor& t) { return t.slice(0, cell.base_row, cell.base_row + 1); };
    request.base.input_ids = row(sweep.base.input_ids);
    HopSelection hop;
    hop.source.emplace();
    auto add = [&](const Positions& source, const Positions& base, const std::vector<std::int64_t>& heads) {
      std::vector<AxisSelection> from_axes, to_axes;
      if (!heads.empty()) from_axes = to_axes = {AxisSelection{{at(heads).selection}}};
      from_axes.push_back({{source.selection}});
      to_axes.push_back({{base.selection}});
      hop.source->units.push_back(from_axes);
      hop.base.units.push_back(to_axes);
    };
    if (noised) {
      add(at({1, 2}), at({1, 2}), {});
      request.source_representations.push_back(row(noise_));
      request.sources.emplace_back();
    }
    for (const CellWrite& write : cell.writes) {
      config.add_intervention(sweep.config.representations[write.representation]);
      config.representations.back().intervention_type = sweep.config.type_of(write.representation);
      add(at(write.source_positions.empty() ? write.positions : write.source_positions), at(write.positions),
          write.heads);
      if (noised) request.source_representations.emplace_back();
      const bool needs = sweep.config.type_of(write.representation) == "vanilla";
      request.sources.push_back(needs ? std::optional(source_) : std::nullopt);
    }
    request.locations.hops["sources->base"] = hop;
    config.intervention_types.clear();
    IntervenableModel intervenable(config, model_);
    return metric_(intervenable->forward(request).intervened.logits).item<double>();
  }
};

TEST_F(SweepTest, JoinedCellsEqualSingleRuns) {
  const Sweep sweep = make();
  const SweepResult result = run_sweep(sweep, model_, metric_);
  ASSERT_EQ(result.values.size(0), static_cast<std::int64_t>(sweep.cells.size()));
  for (std::size_t i = 0; i < sweep.cells.size(); ++i) {
    const double single = alone(sweep, sweep.cells[i]);
    EXPECT_NEAR(result.values[static_cast<std::int64_t>(i)].item<double>(), single, 1e-5 * std::abs(single))
        << "cell " << i;
  }
}

TEST_F(SweepTest, TheBatchSizeDoesNotChangeTheResult) {
  const Sweep sweep = make();
  const Tensor wide = run_sweep(sweep, model_, metric_).values;
  SweepOptions options;
  for (std::int64_t rows : {1, 3, 7}) {
    options.rows_per_batch = rows;
    EXPECT_LT((run_sweep(sweep, model_, metric_, options).values - wide).abs().max().item<double>(), 1e-6);
  }
}

TEST_F(SweepTest, CellsStartAtTheirFirstWrite) {
  Sweep sweep = make();
  sweep.cells = {{0, {{2, {1}, {}, {}}}}, {1, {{2, {3}, {}, {}}}}};
  model_->blocks_run = 0;
  run_sweep(sweep, model_, metric_);
  EXPECT_EQ(model_->blocks_run, 3 + 3 + 1) << "source, background, and the last block for both cells together";
}

TEST_F(SweepTest, ValuesGivenInTheSourcesPlaceAreWrittenAsIfTheSourceHadThem) {
  Sweep sweep = make();
  sweep.background = {};
  sweep.background_sources.clear();
  sweep.config = IntervenableConfig::parse(R"([{"layer": 0, "component": "block_output"}])");
  sweep.cells = {{0, {{0, {1, 3}, {}, {}}}}, {1, {{0, {0}, {}, {}}}}};
  sweep.source.reset();
  const Tensor one = torch::randn({1, 1, 6}), each = torch::randn({2, 5, 6});
  for (const Tensor& given : {one, each}) {
    sweep.source_values = {given};
    const Tensor values = run_sweep(sweep, model_, metric_).values;
    for (std::size_t i = 0; i < sweep.cells.size(); ++i) {
      const Cell& cell = sweep.cells[i];
      const Tensor row = given.size(0) == 1 ? given : given.narrow(0, cell.base_row, 1);
      RunRequest request;
      request.base.input_ids = base_.input_ids.narrow(0, cell.base_row, 1);
      request.locations = at(cell.writes[0].positions);
      request.source_representations = {
          given.size(1) == 1 ? row : row.index_select(1, torch::tensor(cell.writes[0].positions))};
      IntervenableModel single(sweep.config, model_);
      const double expected = metric_(single->forward(request).intervened.logits).item<double>();
      EXPECT_NEAR(values[static_cast<std::int64_t>(i)].item<double>(), expected, 1e-6) << i;
    }
  }
  sweep.source_values = {one, one};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(HasSubstr("source_values: 2 entries, expected one a representation (1)")));
  sweep.source_values = {torch::randn({3, 1, 6})};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(
                  HasSubstr("source_values[0]: expected a value [1 or 2, positions, ...], got shape [3, 1, 6]")));
  sweep.source_values = {torch::randn({1, 2, 6})};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<LocationError>(HasSubstr("position 3 is out of range: the value has 2 positions")));
  sweep.config =
      IntervenableConfig::parse(R"([{"layer": 0, "component": "block_output", "intervention_type": "zero"}])");
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(HasSubstr("source_values[0]: representations[0] takes no source")));
}

TEST_F(SweepTest, SourcesAreOneOrAsManyAsBaseRows) {
  Sweep sweep = make();
  sweep.source = ids({{9, 8, 7, 6, 5}, {9, 8, 7, 6, 5}, {9, 8, 7, 6, 5}});
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(
                  HasSubstr("the source of a sweep is one row, or one for each of its 2 base rows, got 3")));
}

TEST_F(SweepTest, AMetricOfRowsIsToldWhichOnes) {
  Sweep sweep = make();
  sweep.source = ids({{9, 8, 7, 6, 5}, {4, 4, 7, 6, 5}});
  const SweepRowMetric which = [](const Tensor& logits, const SweepRows& rows) {
    EXPECT_EQ(logits.size(0), static_cast<std::int64_t>(rows.rows.size()));
    return torch::tensor(rows.rows, torch::kInt64) + (rows.source ? 100 : 0);
  };
  const SweepResult result = run_sweep(sweep, model_, which);
  EXPECT_TRUE(torch::equal(result.background, torch::tensor({0, 1})));
  EXPECT_TRUE(torch::equal(result.source, torch::tensor({100, 101})));
  for (std::size_t i = 0; i < sweep.cells.size(); ++i)
    EXPECT_EQ(result.values[static_cast<std::int64_t>(i)].item<std::int64_t>(), sweep.cells[i].base_row) << i;
}

TEST_F(SweepTest, ProgressCountsCellsAndMayCancel) {
  const Sweep sweep = make();
  SweepOptions options;
  options.rows_per_batch = 6;
  std::vector<std::size_t> seen;
  options.progress = [&](std::size_t done, std::size_t all) {
    EXPECT_EQ(all, sweep.cells.size());
    seen.push_back(done);
    return done < 12;
  };
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_, options); },
              ThrowsMessage<PlanError>(HasSubstr("cancelled after 12 of 40 cells")));
  EXPECT_THAT(seen, testing::ElementsAre(6, 12));
}

TEST_F(SweepTest, BadCellsAreNamed) {
  Sweep sweep = make();
  sweep.cells = {{0, {}}};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); }, ThrowsMessage<PlanError>(HasSubstr("has no writes")));
  sweep.cells = {{0, {{17, {0}, {}, {}}}}};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(HasSubstr("writes to representation 17, there are 5")));
  sweep.cells = {{2, {{0, {0}, {}, {}}}}};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(HasSubstr("base row 2, there are 2")));
  sweep.cells = {{0, {{0, {9}, {}, {}}}}};
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); }, ThrowsMessage<LocationError>(HasSubstr("out of range")));
}

TEST_F(SweepTest, ASourceWithAHoleInItsMaskIsNamed) {
  Sweep sweep = make();
  sweep.source->attention_mask = torch::tensor({{1, 1, 0, 1, 1}}, torch::kInt64);
  EXPECT_THAT([&] { run_sweep(sweep, model_, metric_); },
              ThrowsMessage<PlanError>(HasSubstr("source, row 0: the attention mask has a hole between tokens")));
}

TEST(RestoredLayersTest, WindowsAreCutAtBothEnds) {
  EXPECT_EQ(restored_layers(0, 10, 12), std::make_pair(std::int64_t{0}, std::int64_t{5}));
  EXPECT_EQ(restored_layers(6, 10, 12), std::make_pair(std::int64_t{1}, std::int64_t{11}));
  EXPECT_EQ(restored_layers(11, 10, 12), std::make_pair(std::int64_t{6}, std::int64_t{12}));
  EXPECT_EQ(restored_layers(3, 1, 12), std::make_pair(std::int64_t{3}, std::int64_t{4}));
  EXPECT_EQ(restored_layers(3, 3, 12), std::make_pair(std::int64_t{2}, std::int64_t{5}));
}

TEST(PaddedSweep, ARowsCellsAreWhatTheyAreAlone) {
  torch::manual_seed(2);
  const auto model = std::make_shared<models::GPT2>(
      models::GPT2Options{.vocab_size = 11, .n_positions = 8, .n_embd = 8, .n_layer = 3, .n_head = 2});
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.normal_(0.0, 0.4);
  const auto sweep_of = [](const models::Batch& base, std::int64_t row, std::int64_t length) {
    Sweep sweep;
    sweep.config = IntervenableConfig::parse(R"([{"layer": 1}, {"layer": 2, "component": "mlp_output"}])");
    sweep.base = base;
    sweep.source = ids({{9, 8, 7, 6, 5}});
    for (std::int64_t position = 0; position < length; ++position)
      sweep.cells.push_back({row, {{static_cast<std::size_t>(position % 2), {position}, {}, {}}}});
    return sweep;
  };
  models::Batch base = ids({{1, 2, 3, 4, 5}, {10, 10, 6, 3, 2}});
  base.attention_mask = torch::tensor({{1, 1, 1, 1, 1}, {0, 0, 1, 1, 1}});
  const SweepMetric metric = [](const Tensor& logits) { return torch::softmax(logits.select(1, -1), -1); };
  const Tensor together = run_sweep(sweep_of(base, 1, 3), model, metric).values;
  const Tensor alone = run_sweep(sweep_of(ids({{6, 3, 2}}), 0, 3), model, metric).values;
  EXPECT_LT((together - alone).abs().max().item<double>(), 1e-6);
  EXPECT_GT((alone[0] - alone[1]).abs().max().item<double>(), 1e-4);
}

}  // namespace
}  // namespace vene
