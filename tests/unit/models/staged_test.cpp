// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "helpers.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::Output;
using vene::models::StageState;

const std::vector<std::vector<std::int64_t>> kRows = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};

TEST(StagedModel, StagesOneAfterAnotherEqualTheForward) {
  const auto model = small_gpt2();
  for (const Batch& batch : {row_of(kRows[0]), padded(kRows, true), padded(kRows, false)}) {
    const Output whole = model->forward(batch);
    for (std::int64_t cut = 0; cut <= 3; ++cut) {
      const StageState middle = model->run(model->begin(batch), 0, cut);
      const Output pieces = model->finish(model->run(middle, cut, 3));
      EXPECT_TRUE(torch::equal(pieces.logits, whole.logits)) << cut;
      EXPECT_TRUE(torch::equal(pieces.last_hidden_state, whole.last_hidden_state)) << cut;
    }
  }
}

TEST(StagedModel, RunningAStateLeavesItAsItWas) {
  const auto model = small_gpt2();
  const StageState state = model->begin(row_of(kRows[0]));
  const torch::Tensor before = state.hidden.clone();
  model->run(state, 0, 3);
  EXPECT_TRUE(torch::equal(state.hidden, before));
}

TEST(StagedModel, RowsOfAStateCanBePickedAndRepeated) {
  const auto model = small_gpt2();
  const Batch batch = padded(kRows, true);
  const torch::Tensor rows = torch::tensor({2, 0, 2, 1}, torch::kInt64);
  const StageState middle = model->run(model->begin(batch), 0, 1);
  const Output output = model->finish(model->run(middle.rows(rows), 1, 3));
  EXPECT_LE(relative_error(output.logits, model->forward(batch).logits.index_select(0, rows)), 1e-6);
}

TEST(StagedModel, StatesCanBeJoinedWhetherPaddedOrNot) {
  const auto model = small_gpt2();
  const Batch plain = row_of(kRows[0]), ragged = padded(kRows, true);
  const StageState joined =
      StageState::joined({model->run(model->begin(plain), 0, 2), model->run(model->begin(ragged), 0, 2)});
  const Output output = model->finish(model->run(joined, 2, 3));
  EXPECT_LE(relative_error(output.logits, torch::cat({model->forward(plain).logits, model->forward(ragged).logits})),
            1e-6);
}

TEST(StagedModel, FinishesAtTheAskedPositionsOnly) {
  const auto model = small_gpt2();
  const Batch batch = padded(kRows, true);
  const torch::Tensor all = model->forward(batch).logits;
  const StageState state = model->run(model->begin(batch), 0, 3);
  const torch::Tensor shared = torch::tensor({5, 1}, torch::kInt64);
  EXPECT_LE(relative_error(model->finish(state, shared).logits, all.index_select(1, shared)), 1e-6);
  EXPECT_EQ(model->finish(state, shared).last_hidden_state.size(1), 2);
  const torch::Tensor each = torch::tensor({{5}, {3}, {4}}, torch::kInt64);
  const torch::Tensor picked = model->finish(state, each).logits;
  for (std::int64_t row = 0; row < 3; ++row) {
    EXPECT_LE(relative_error(picked[row][0], all[row][each[row][0].item<std::int64_t>()]), 1e-6);
  }
  EXPECT_THAT(model_error([&] {
                model->finish(state, torch::zeros({2, 1}, torch::kInt64));
              }),
              HasSubstr("expected [n] or [3, n], got [2, 1]"));
}

TEST(StagedModel, TheLastLogitsAloneCanBeAskedFor) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  const torch::Tensor all = model->forward(batch).logits;
  EXPECT_LE(relative_error(model->forward(batch, {.last_logits = 2}).logits, all.narrow(1, 4, 2)), 1e-6);
  EXPECT_EQ(model->forward(batch, {.last_logits = 99}).logits.size(1), 6);
}

TEST(StagedModel, HooksOnTheFinalNormAndLogitsSeeEveryPosition) {
  const auto model = small_gpt2();
  const StageState state = model->run(model->begin(row_of(kRows[0])), 0, 3);
  const torch::Tensor all = model->finish(state).logits, asked = torch::tensor({3}, torch::kInt64);
  for (const std::string component : {"final_norm", "logits"}) {
    const vene::Site& site = model->sites().find(component, -1);
    vene::HookTable table;
    table.on(site.id, site.phase, [&](const vene::HookContext& context) {
      EXPECT_EQ(context.value().size(1), 6);
      torch::Tensor changed = context.value().clone();
      changed.select(1, 3).zero_();
      context.value() = changed;
    });
    vene::HookScope scope(table);
    const Output output = model->finish(state, asked);
    EXPECT_THAT(output.logits.sizes(), testing::ElementsAre(1, 1, 60));
    EXPECT_TRUE(torch::equal(output.logits, torch::zeros_like(output.logits))) << component;
  }
}

TEST(StagedModel, RefusesLayersThatItHasNot) {
  const auto model = small_gpt2();
  const StageState state = model->begin(row_of(kRows[0]));
  EXPECT_THAT(model_error([&] { model->run(state, 0, 4); }), HasSubstr("layers [0, 4) are not among the model's 3"));
  EXPECT_THAT(model_error([&] { model->run(state, 2, 1); }), HasSubstr("layers [2, 1)"));
}

TEST(StagedModel, LaterPositionsCanBeRunAloneOverAStoredPrefix) {
  const auto model = small_gpt2();
  const Batch batch = row_of(kRows[0]);
  vene::models::KeyValueCache full;
  const torch::Tensor expected = model->forward(batch, {.cache = &full}).logits;
  // The state that enters layer 1, cut to positions 4 and on; keys and values of the first four are stored.
  const StageState whole = model->run(model->begin(batch), 0, 1);
  vene::models::KeyValueCache prefix;
  for (const auto& [keys, values] : full.layers)
    prefix.layers.emplace_back(keys.narrow(2, 0, 4), values.narrow(2, 0, 4));
  const StageState later{whole.hidden.narrow(1, 4, 2), {}, whole.position_ids.narrow(1, 4, 2), &prefix};
  EXPECT_LE(relative_error(model->finish(model->run(later, 1, 3)).logits, expected.narrow(1, 4, 2)), 1e-6);
}

}  // namespace
