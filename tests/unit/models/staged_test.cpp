// SPDX-License-Identifier: Apache-2.0
// Stages and caches of every language model of tests/golden/models.
#include <gmock/gmock.h>

#include "helpers.h"
#include "vene/models/decoder.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::KeyValueCache;
using vene::models::Output;
using vene::models::StageState;

constexpr double kTolerance = 2e-6;

class Staged : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<vene::models::StagedModel> model = golden_model(GetParam());
  const std::vector<std::vector<std::int64_t>>& rows = three_rows();
  std::int64_t layers = model->layer_count();

  torch::Tensor run(const Batch& batch) { return output_of(*model, batch); }
  StageState before(std::int64_t layer, const Batch& batch) { return model->run(model->begin(batch), 0, layer); }
  torch::Tensor finish(const StageState& state, const torch::Tensor& positions = {}) {
    return model->finish(state, positions).primary();
  }
};

class Cached : public Staged {};

TEST_P(Staged, StagesOneAfterAnotherEqualTheForward) {
  for (const Batch& batch : {row_of(rows[0]), padded(rows, true), padded(rows, false)}) {
    const Output whole = model->forward(batch);
    for (std::int64_t cut = 0; cut <= layers; ++cut) {
      const Output pieces = model->finish(model->run(before(cut, batch), cut, layers));
      EXPECT_TRUE(torch::equal(pieces.primary(), whole.primary())) << cut;
      EXPECT_TRUE(torch::equal(pieces.last_hidden_state, whole.last_hidden_state)) << cut;
    }
  }
}

TEST_P(Staged, RunningAStateLeavesItAsItWas) {
  const StageState state = model->begin(row_of(rows[0]));
  const torch::Tensor hidden = state.hidden.clone();
  model->run(state, 0, layers);
  EXPECT_TRUE(torch::equal(state.hidden, hidden));
}

TEST_P(Staged, RowsOfAStateCanBePickedAndRepeated) {
  const Batch batch = padded(rows, true);
  const torch::Tensor picked = torch::tensor({2, 0, 2, 1}, torch::kInt64);
  const torch::Tensor output = finish(model->run(before(1, batch).rows(picked), 1, layers));
  EXPECT_LE(relative_error(output, run(batch).index_select(0, picked)), kTolerance);
}

TEST_P(Staged, StatesCanBeJoinedWhetherPaddedOrNot) {
  const Batch plain = row_of(rows[0]), ragged = padded(rows, true);
  const StageState joined = StageState::joined({before(1, plain), before(1, ragged)});
  EXPECT_LE(relative_error(finish(model->run(joined, 1, layers)), torch::cat({run(plain), run(ragged)})), kTolerance);
}

TEST_P(Staged, FinishesAtTheAskedPositionsOnly) {
  const Batch batch = padded(rows, true);
  const torch::Tensor all = run(batch);
  const StageState state = before(layers, batch);
  const torch::Tensor shared = torch::tensor({5, 1}, torch::kInt64);
  EXPECT_LE(relative_error(finish(state, shared), all.index_select(1, shared)), kTolerance);
  EXPECT_EQ(model->finish(state, shared).last_hidden_state.size(1), 2);
  const torch::Tensor each = torch::tensor({{5}, {3}, {4}}, torch::kInt64);
  const torch::Tensor picked = finish(state, each);
  for (std::int64_t row = 0; row < 3; ++row) {
    EXPECT_LE(relative_error(picked[row][0], all[row][each[row][0].item<std::int64_t>()]), kTolerance);
  }
  EXPECT_THAT(model_error([&] {
                finish(state, torch::zeros({2, 1}, torch::kInt64));
              }),
              HasSubstr("expected [n] or [3, n], got [2, 1]"));
}

TEST_P(Staged, TheLastLogitsAloneCanBeAskedFor) {
  const Batch batch = row_of(rows[0]);
  EXPECT_LE(relative_error(model->forward(batch, {.last_logits = 2}).primary(), run(batch).narrow(1, 4, 2)),
            kTolerance);
  EXPECT_EQ(model->forward(batch, {.last_logits = 99}).primary().size(1), 6);
}

TEST_P(Staged, LogitsOfSomeTokensAreThoseOfAll) {
  const StageState state = before(layers, padded(rows, true));
  const torch::Tensor tokens = torch::tensor({7, 0, 3}, torch::kInt64), last = torch::tensor({5}, torch::kInt64);
  const torch::Tensor all = model->finish(state, last).logits;
  if (!all.defined()) return;  // a model without a head
  EXPECT_LE(relative_error(model->finish(state, last, tokens).logits, all.index_select(-1, tokens)), kTolerance);
  // A hook sees them all.
  const vene::Site* site = model->sites().try_find("logits", -1);
  vene::HookTable table;
  table.on(site->id, site->phase, [&](const vene::HookContext& context) {
    EXPECT_EQ(context.value().size(-1), all.size(-1));
    context.value() = context.value() + 1;
  });
  vene::HookScope scope(table);
  EXPECT_LE(relative_error(model->finish(state, last, tokens).logits, all.index_select(-1, tokens) + 1), kTolerance);
}

TEST_P(Staged, HooksOnTheFinalNormAndLogitsSeeEveryPosition) {
  const StageState state = before(layers, row_of(rows[0]));
  const torch::Tensor asked = torch::tensor({3}, torch::kInt64);
  for (const std::string component : {"final_norm", "logits"}) {
    const vene::Site* site = model->sites().try_find(component, -1);
    if (site == nullptr) continue;  // a model without a head
    vene::HookTable table;
    table.on(site->id, site->phase, [&](const vene::HookContext& context) {
      EXPECT_EQ(context.value().size(1), 6);
      torch::Tensor changed = context.value().clone();
      changed.select(1, 3).zero_();
      context.value() = changed;
    });
    vene::HookScope scope(table);
    const torch::Tensor output = finish(state, asked);
    EXPECT_EQ(output.size(1), 1);
    // What a head makes of zeros is its bias, where it has one.
    const auto parameters = model->named_parameters();
    const torch::Tensor* bias = nullptr;
    for (const char* name : {"cls.predictions.decoder.bias", "lm_head.bias"}) {
      if (component == "final_norm" && bias == nullptr) bias = parameters.find(name);
    }
    EXPECT_TRUE(torch::equal(output, bias != nullptr ? bias->expand_as(output) : torch::zeros_like(output)))
        << component;
  }
}

TEST_P(Staged, RefusesLayersThatItHasNot) {
  const StageState state = model->begin(row_of(rows[0]));
  const std::string count = std::to_string(layers), beyond = std::to_string(layers + 1);
  EXPECT_THAT(model_error([&] { model->run(state, 0, layers + 1); }),
              HasSubstr("layers [0, " + beyond + ") are not among the model's " + count));
  EXPECT_THAT(model_error([&] { model->run(state, 2, 1); }), HasSubstr("layers [2, 1)"));
}

TEST_P(Cached, CachedStepsEqualOneForward) {
  const Batch whole = row_of(rows[0]);
  const torch::Tensor expected = run(whole);
  for (const std::vector<std::int64_t>& steps :
       {std::vector<std::int64_t>{1, 1, 1, 1, 1, 1}, {4, 1, 1}, {2, 3, 1}, {6}}) {
    KeyValueCache cache;
    std::vector<torch::Tensor> parts;
    std::int64_t begin = 0;
    for (const std::int64_t step : steps) {
      Batch piece;
      piece.input_ids = whole.input_ids.narrow(1, begin, step);
      parts.push_back(model->forward(piece, {.cache = &cache}).primary());
      begin += step;
      EXPECT_EQ(cache.length(), begin);
    }
    EXPECT_LE(relative_error(torch::cat(parts, 1), expected), kTolerance);
  }
}

TEST_P(Cached, CachedStepsAfterAPaddedPromptEqualTheRowsAlone) {
  const std::vector<std::int64_t> tail = {7, 40, 21};
  for (const bool left : {true, false}) {
    KeyValueCache cache;
    model->forward(padded(rows, left), {.cache = &cache});
    for (std::size_t step = 0; step < tail.size(); ++step) {
      Batch next;
      next.input_ids = torch::full({3, 1}, tail[step], torch::kInt64);
      // The explicit path of the middle step must agree on the way.
      const bool has_head = model->sites().try_find("logits", -1) != nullptr;
      const torch::Tensor output =
          step == 1 ? values_at_named_sites(*model, next, {.cache = &cache}).at(has_head ? "logits" : "final_norm")
                    : model->forward(next, {.cache = &cache}).primary();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::vector<std::int64_t> ids = rows[i];
        ids.insert(ids.end(), tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(step) + 1);
        EXPECT_LE(relative_error(output[static_cast<std::int64_t>(i)][0], run(row_of(ids))[0][-1]), 2 * kTolerance)
            << "row " << i << " step " << step;
      }
    }
  }
}

TEST_P(Cached, RowsOfACacheContinueEachTheirOwnText) {
  KeyValueCache cache;
  model->forward(padded(rows, true), {.cache = &cache});
  KeyValueCache picked = cache.rows(torch::tensor({2, 0}, torch::kInt64));
  Batch next;
  next.input_ids = torch::tensor({{4}, {6}}, torch::kInt64);
  const torch::Tensor output = model->forward(next, {.cache = &picked}).primary();
  EXPECT_LE(relative_error(output[0][0], run(row_of({50, 50, 1, 12, 4}))[0][-1]), 2 * kTolerance);
  EXPECT_LE(relative_error(output[1][0], run(row_of({5, 9, 31, 2, 44, 17, 6}))[0][-1]), 2 * kTolerance);
  EXPECT_EQ(cache.length(), 6);
}

TEST_P(Cached, LaterPositionsCanBeRunAloneOverAStoredPrefix) {
  const Batch batch = row_of(rows[0]);
  KeyValueCache full;
  const torch::Tensor expected = model->forward(batch, {.cache = &full}).primary();
  // The state that enters layer 1, cut to positions 4 and on; keys and values of the first four are stored.
  const StageState whole = before(1, batch);
  KeyValueCache prefix;
  for (const auto& [keys, values] : full.layers)
    prefix.layers.emplace_back(keys.narrow(2, 0, 4), values.narrow(2, 0, 4));
  const StageState later{whole.hidden.narrow(1, 4, 2), {}, whole.position_ids.narrow(1, 4, 2), &prefix};
  EXPECT_LE(relative_error(finish(model->run(later, 1, layers)), expected.narrow(1, 4, 2)), kTolerance);
}

TEST_P(Cached, TheLastBlockComputesTheWantedPositionsOnlyWhereNoHookLooks) {
  for (const Batch& batch : {row_of(rows[0]), padded(rows, true), padded(rows, false)}) {
    StageState state = before(layers - 1, batch);
    const torch::Tensor all = model->run(state, layers - 1, layers).hidden;
    for (const std::int64_t wanted : {1, 2, 5, 6}) {
      state.wanted = wanted;
      const torch::Tensor some = model->run(state, layers - 1, layers).hidden;
      EXPECT_EQ(some.size(1), wanted);
      EXPECT_LE(relative_error(some, all.narrow(1, 6 - wanted, wanted)), kTolerance) << wanted;
      KeyValueCache cache;
      state.cache = &cache;
      state.hidden = before(layers - 1, batch).hidden;
      model->run(state, layers - 1, layers);
      EXPECT_EQ(cache.layers.back().first.size(2), 6) << "every position's keys are kept";
      state.cache = nullptr;
    }
    state.wanted = 1;
    for (const char* component : {"block_output", "attention_scores", "mlp_input"}) {
      const vene::Site& site = model->sites().find(component, layers - 1);
      vene::HookTable table;
      table.on(site.id, site.phase, [](const vene::HookContext&) {});
      vene::HookScope scope(table);
      EXPECT_EQ(model->run(state, layers - 1, layers).hidden.size(1), 6) << component;
    }
  }
}

TEST_P(Cached, TheLastBlockComputesTheWantedPositionsAfterAStoredPrefix) {
  const Batch batch = row_of(rows[0]);
  KeyValueCache cache;
  Batch piece;
  piece.input_ids = batch.input_ids.narrow(1, 0, 3);
  model->forward(piece, {.cache = &cache});
  piece.input_ids = batch.input_ids.narrow(1, 3, 3);
  EXPECT_LE(
      relative_error(model->forward(piece, {.cache = &cache, .last_logits = 2}).primary(), run(batch).narrow(1, 4, 2)),
      kTolerance);
}

TEST_P(Cached, RefusesToOutgrowItsContextOrItsRowsThroughTheCache) {
  KeyValueCache cache;
  const std::int64_t context = model->context_length();
  model->forward(row_of(std::vector<std::int64_t>(static_cast<std::size_t>(context - 2), 1)), {.cache = &cache});
  if (model->bound_to_context()) {
    EXPECT_THAT(model_error([&] {
                  model->forward(row_of({1, 2, 3}), {.cache = &cache});
                }),
                HasSubstr("3 positions after " + std::to_string(context - 2) + " in the cache do not fit the model's " +
                          std::to_string(context)));
  }
  cache = {};
  model->forward(padded(rows, true), {.cache = &cache});
  EXPECT_THAT(model_error([&] { model->forward(row_of({1}), {.cache = &cache}); }),
              HasSubstr("the cache holds 3 rows, the batch has 1"));
}

INSTANTIATE_TEST_SUITE_P(Folders, Staged, testing::ValuesIn(golden_language_models()),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Folders, Cached, testing::ValuesIn(golden_decoders()),
                         [](const auto& info) { return info.param; });

}  // namespace
