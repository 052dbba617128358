// SPDX-License-Identifier: Apache-2.0
// The GRU port against pyvene's models (tests/golden/recurrent).
#include "vene/models/gru.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "helpers.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "vene/models/load.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::GRU;
using vene::models::GRUHead;
using vene::models::GRUOptions;

std::filesystem::path folder_of(const std::string& name) {
  return std::filesystem::path(vene_test::kSourceFolder) / "tests" / "golden" / "recurrent" / name;
}

std::shared_ptr<GRU> loaded(const std::string& name) {
  return std::dynamic_pointer_cast<GRU>(vene::models::load(folder_of(name).string()).model);
}

Batch inputs_of(const NamedValues& reference) {
  Batch batch;
  if (reference.contains("input.inputs_embeds")) batch.inputs_embeds = reference.at("input.inputs_embeds");
  if (reference.contains("input.input_ids")) batch.input_ids = reference.at("input.input_ids");
  if (reference.contains("input.position_ids")) batch.extra = {reference.at("input.position_ids")};
  return batch;
}

// Three rows of the same words, alone and padded together.
const std::vector<std::vector<std::int64_t>> kRagged{{1, 2, 3, 4, 5}, {6, 7}, {8, 9, 10}};

class GruGolden : public testing::TestWithParam<const char*> {};

TEST_P(GruGolden, HasTheResultsOfPyvenesModel) {
  const NamedValues reference = read_values(folder_of(GetParam()) / "reference.safetensors");
  const vene::models::Output output = loaded(GetParam())->forward(inputs_of(reference));
  if (reference.contains("result.logits")) {
    EXPECT_LE(relative_error(output.logits, reference.at("result.logits")), 1e-5);
  } else {
    EXPECT_FALSE(output.logits.defined());
    EXPECT_LE(relative_error(output.last_hidden_state, reference.at("result.states")), 1e-5);
  }
  EXPECT_LE(relative_error(output.last_hidden_state.select(1, -1), reference.at("result.last")), 1e-5);
}

TEST_P(GruGolden, HasTheValueOfPyvenesModelAtEverySiteAndStep) {
  const auto model = loaded(GetParam());
  const NamedValues reference = read_values(folder_of(GetParam()) / "reference.safetensors");
  std::map<std::string, std::vector<torch::Tensor>> values;
  vene::HookTable table;
  for (const vene::Site& site : model->sites().all()) {
    const std::string name = site.component + "." + std::to_string(site.layer);
    if (site.component.empty() || site.layer < 0) continue;
    EXPECT_EQ(site.calls, vene::CallOrder::kPositions) << name;
    table.on(site.id, site.phase, [&values, name](const vene::HookContext& context) {
      EXPECT_EQ(context.call, static_cast<std::int64_t>(values[name].size()));
      values[name].push_back(context.value().clone());
    });
  }
  {
    const vene::HookScope scope(table);
    model->forward(inputs_of(reference));
  }
  std::size_t compared = 0;
  for (const auto& [name, expected] : reference) {
    if (name.starts_with("input.") || name.starts_with("result.")) continue;
    ASSERT_TRUE(values.contains(name)) << "no site " << name;
    EXPECT_LE(relative_error(torch::stack(values.at(name)), expected), 1e-5) << name;
    ++compared;
  }
  EXPECT_EQ(compared, values.size());
  EXPECT_EQ(compared, 32U) << "sixteen components of two layers";
}

INSTANTIATE_TEST_SUITE_P(Models, GruGolden, testing::Values("gru_classifier", "gru_lm", "gru_base"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Gru, APaddedRowEqualsTheRowAloneAtEitherEnd) {
  const auto language = loaded("gru_lm");
  GRUOptions options = language->options();
  options.head = GRUHead::kClassifier;
  options.n_labels = 3;
  torch::manual_seed(1);
  GRU classifier(options);
  for (const bool left : {true, false}) {
    const Batch together = padded(kRagged, left);
    const torch::Tensor logits = language->forward(together).logits, classes = classifier.forward(together).logits;
    for (std::size_t row = 0; row < kRagged.size(); ++row) {
      const auto size = static_cast<std::int64_t>(kRagged[row].size());
      const torch::Tensor real = logits[static_cast<std::int64_t>(row)].narrow(0, left ? 5 - size : 0, size);
      EXPECT_LE(relative_error(real, language->forward(row_of(kRagged[row])).logits[0]), 1e-6)
          << "row " << row << " left " << left;
      EXPECT_LE(
          relative_error(classes[static_cast<std::int64_t>(row)], classifier.forward(row_of(kRagged[row])).logits[0]),
          1e-6);
    }
  }
}

TEST(Gru, TheCacheContinuesWhereItEnded) {
  const auto model = loaded("gru_lm");
  for (const bool left : {true, false}) {
    const Batch whole = padded(kRagged, left);
    const torch::Tensor expected = model->forward(whole).logits;
    vene::models::KeyValueCache cache;
    std::vector<torch::Tensor> pieces;
    for (const auto& [begin, count] : {std::pair<int, int>{0, 3}, {3, 1}, {4, 1}}) {
      Batch piece;
      piece.input_ids = whole.input_ids.narrow(1, begin, count);
      piece.attention_mask = whole.attention_mask.narrow(1, begin, count);
      pieces.push_back(model->forward(piece, {.cache = &cache}).logits);
      EXPECT_EQ(cache.length(), begin + count);
    }
    const torch::Tensor real = whole.attention_mask.to(torch::kBool);
    EXPECT_LE(relative_error(torch::cat(pieces, 1).index({real}), expected.index({real})), 1e-6);
  }
}

TEST(Gru, TheCacheHoldsTheLastStateAlone) {
  const auto model = loaded("gru_lm");
  vene::models::KeyValueCache cache;
  for (std::int64_t step = 1; step <= 40; ++step) {
    Batch piece;
    piece.input_ids = torch::tensor({{step % 7, (step + 1) % 7}});
    (void)model->forward(piece, {.cache = &cache});
    ASSERT_EQ(cache.length(), 2 * step);
    for (const auto& [keys, values] : cache.layers) {
      EXPECT_EQ(keys.storage().nbytes(), keys.numel() / keys.size(2) * keys.element_size()) << step;
      EXPECT_TRUE(values.is_same(keys));
    }
  }
}

TEST(Gru, IsCutBetweenItsLayers) {
  const auto model = loaded("gru_lm");
  const Batch batch = padded(kRagged, true);
  vene::models::StageState state = model->run(model->begin(batch), 0, 1);
  state = model->run(state, 1, 2);
  EXPECT_TRUE(torch::equal(model->finish(state).logits, model->forward(batch).logits));
  const torch::Tensor last = torch::tensor({4});
  EXPECT_TRUE(torch::equal(model->finish(state, last).logits, model->forward(batch).logits.narrow(1, 4, 1)));
}

TEST(Gru, ErrorsSayWhatIsExpected) {
  GRUOptions options;
  options.h_dim = 0;
  EXPECT_THAT(model_error([&] { GRU model(options); }), HasSubstr("h_dim: expected a positive number, got 0"));
  options.h_dim = 4;
  options.head = GRUHead::kLanguageModel;
  options.tie_word_embeddings = true;
  EXPECT_THAT(model_error([&] { GRU model(options); }),
              HasSubstr("no embeddings (include_emb is false) to tie the head to"));
  options.tie_word_embeddings = false;
  GRU plain(options);
  EXPECT_THAT(model_error([&] {
                plain.forward(row_of({1, 2}));
              }),
              HasSubstr("it takes inputs_embeds [batch, pos, 4], not token ids"));
  Batch batch;
  batch.inputs_embeds = torch::zeros({2, 3, 5});
  EXPECT_THAT(model_error([&] { plain.forward(batch); }),
              HasSubstr("inputs_embeds: expected [batch, pos, 4], got [2, 3, 5]"));
  batch.inputs_embeds = torch::zeros({2, 3, 4});
  batch.extra = {torch::zeros({2, 3}, torch::kInt64)};
  EXPECT_THAT(model_error([&] { plain.forward(batch); }), HasSubstr("this model has no position embeddings"));
  const auto words = loaded("gru_lm");
  Batch placed = row_of({1, 2});
  placed.extra = {torch::tensor({{0, 9}})};
  EXPECT_THAT(model_error([&] { words->forward(placed); }), HasSubstr("position ids go from 0 to 8"));
  placed.extra = {torch::tensor({{0, 1, 2}})};
  EXPECT_THAT(model_error([&] { words->forward(placed); }), HasSubstr("expected position ids [batch, pos]"));
}

TEST(Gru, AFolderMustNameItsArchitecture) {
  const TestFolder folder;
  std::filesystem::copy(folder_of("gru_lm") / "model.safetensors", folder / "model.safetensors");
  folder.write("config.json", R"({"model_type": "gru", "h_dim": 5, "n_layer": 2, "architectures": ["GRUForTagging"]})");
  EXPECT_THAT(
      model_error([&] { vene::models::load(folder.path()); }),
      HasSubstr("architectures: expected one of GRUModel, GRUForClassification, GRULMHeadModel, got GRUForTagging"));
}

}  // namespace
