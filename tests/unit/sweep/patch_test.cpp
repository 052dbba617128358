// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/patch.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data_folder.h"
#include "tests/places.h"
#include "tests/unit/sweep/pair_helpers.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/viz/patch_maps.h"

namespace vene {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using testing::ThrowsMessage;
using torch::Tensor;
using vene_test::load;
using vene_test::pair_of;

// --- against an independent program in double precision ---------------------------------------------

TEST(PatchLandmarks, GridsBothWaysAreThoseOfAnIndependentProgram) {
  VENE_REQUIRE_DATA(data);
  std::ifstream file(*data / "circuits/landmarks-gpt2.json");
  if (!file) GTEST_SKIP() << "circuits/landmarks-gpt2.json is absent from the data folder";
  const json truth = json::parse(file);
  std::vector<PromptPair> pairs;
  for (std::size_t i = 0; i < truth["clean_ids"].size(); ++i)
    pairs.push_back(pair_of(truth["clean_ids"][i], truth["corrupt_ids"][i], truth["answers"][i]));
  const models::LanguageModel lm = load("assets/landmarks-gpt2");
  const std::pair<PatchDirection, const char*> ways[]{{PatchDirection::kDenoise, "restore clean in corrupt run"},
                                                      {PatchDirection::kNoise, "put corrupt in clean run"}};
  for (const auto& [direction, name] : ways) {
    PatchOptions options;
    options.direction = direction;
    options.components = {"block_output"};
    const PatchGrid grid = patch(lm, pairs, options);
    const auto near = [](double value, double expected) {
      EXPECT_NEAR(value, expected, std::max(1e-4, 1e-5 * std::abs(expected)));
    };
    near(grid.clean.mean().item<double>(), truth["clean"]);
    near(grid.corrupt.mean().item<double>(), truth["corrupt"]);
    const Tensor mean = grid.maps[0].mean();
    const json& expected = truth["patch_block_output"][name];
    ASSERT_EQ(mean.size(0), static_cast<std::int64_t>(expected.size()));
    for (std::size_t layer = 0; layer < expected.size(); ++layer) {
      ASSERT_EQ(mean.size(2), static_cast<std::int64_t>(expected[layer].size()));
      for (std::size_t position = 0; position < expected[layer].size(); ++position) {
        SCOPED_TRACE(std::string(name) + ", layer " + std::to_string(layer) + ", position " + std::to_string(position));
        near(mean[static_cast<std::int64_t>(layer)][0][static_cast<std::int64_t>(position)].item<double>(),
             expected[layer][position]);
      }
    }
  }
}

// --- against runs one by one ------------------------------------------------------------------------

class PatchTest : public testing::Test {
 protected:
  // Texts of 4 and 6, 5 and 3, and 7 and 7 tokens, with two named places each.
  PatchTest() {
    pairs_ = {pair_of({5, 9, 11, 20}, {6, 8, 30, 31, 17, 22}, {3, 7}), pair_of({12, 5, 6, 7, 8}, {9, 13, 21}, {2, 9}),
              pair_of({5, 6, 7, 8, 9, 10, 11}, {15, 16, 17, 18, 19, 20, 21}, {8, 4})};
    pairs_[0].positions = {{"a", 1, 3}, {"b", -1, -1}};
    pairs_[1].positions = {{"a", 2, 0}, {"b", -2, -1}};
    pairs_[2].positions = {{"a", 4, 4}, {"b", 6, 6}};
    pairs_[1].answer_position = -2;
    for (std::size_t i = 0; i < pairs_.size(); ++i) pairs_[i].where = "pairs, line " + std::to_string(i + 1);
  }

  Tensor logits_at(const PromptPair& pair, const Tensor& logits) const {
    const std::int64_t at = pair.answer_position + (pair.answer_position < 0 ? logits.size(1) : 0);
    return logits[0][at].to(torch::kFloat64);
  }

  // The metric by its definition.
  double measured(AnswerMetric metric, const PromptPair& pair, const Tensor& logits, const Tensor& clean) const {
    const Tensor log = torch::log_softmax(logits, -1), was = torch::log_softmax(clean, -1);
    switch (metric) {
      case AnswerMetric::kLogitDifference:
        return (logits[pair.answers[0]] - logits[pair.answers[1]]).item<double>();
      case AnswerMetric::kProbability:
        return std::exp(log[pair.answers[0]].item<double>());
      case AnswerMetric::kLogProbability:
        return log[pair.answers[0]].item<double>();
      case AnswerMetric::kKl:
        return (was.exp() * (was - log)).sum().item<double>();
      default:
        return (logits > logits[pair.answers[0]]).sum().item<double>();
    }
  }

  Tensor plain(const std::vector<std::int64_t>& ids) const {
    return lm_.model->forward({torch::tensor(ids).unsqueeze(0), {}, {}, {}}).logits;
  }

  // One cell of one pair as a run of its own, on texts without padding.
  double alone(const PatchGrid& grid, const std::string& component, const PromptPair& pair, std::int64_t layer,
               std::optional<std::int64_t> head, const std::vector<std::int64_t>& clean_at,
               const std::vector<std::int64_t>& corrupt_at) const {
    RepresentationConfig exchanged;
    exchanged.component = component;
    exchanged.layer = layer;
    exchanged.intervention_type = "vanilla";
    exchanged.unit = head ? "h.pos" : "pos";
    IntervenableConfig config;
    config.add_intervention(exchanged);
    const bool denoise = grid.direction == PatchDirection::kDenoise;
    RunRequest request;
    request.base.input_ids = torch::tensor(denoise ? pair.corrupt : pair.clean).unsqueeze(0);
    models::Batch source{torch::tensor(denoise ? pair.clean : pair.corrupt).unsqueeze(0), {}, {}, {}};
    request.sources = {source};
    std::vector<AxisSelection> from, to;
    if (head) from = to = {AxisSelection{{at(*head).selection}}};
    from.push_back({{at(denoise ? clean_at : corrupt_at).selection}});
    to.push_back({{at(denoise ? corrupt_at : clean_at).selection}});
    HopSelection hop;
    hop.source.emplace();
    hop.source->units.emplace_back(from);
    hop.base.units.emplace_back(to);
    request.locations.hops["sources->base"] = hop;
    IntervenableModel model(config, lm_.model);
    const Tensor logits = model->forward(request).intervened.logits;
    return measured(grid.metric, pair, logits_at(pair, logits), logits_at(pair, plain(pair.clean)));
  }

  models::LanguageModel lm_ = load("tests/golden/models/llama_gqa_tied");
  std::vector<PromptPair> pairs_;
  const torch::NoGradGuard no_grad_;
};

TEST_F(PatchTest, PaddedPairsOfUnequalLengthsInABatchEqualThemOneByOne) {
  for (const auto direction : {PatchDirection::kDenoise, PatchDirection::kNoise}) {
    for (const auto metric : {AnswerMetric::kLogitDifference, AnswerMetric::kProbability, AnswerMetric::kLogProbability,
                              AnswerMetric::kKl, AnswerMetric::kRank}) {
      PatchOptions options;
      options.direction = direction;
      options.metric = metric;
      const PatchGrid grid = patch(lm_, pairs_, options);
      EXPECT_THAT(grid.positions, ElementsAre("a", "b"));
      ASSERT_EQ(grid.maps.size(), 3U);
      for (std::size_t i = 0; i < pairs_.size(); ++i) {
        const PromptPair& pair = pairs_[i];
        const auto p = static_cast<std::int64_t>(i);
        const Tensor clean = logits_at(pair, plain(pair.clean)), corrupt = logits_at(pair, plain(pair.corrupt));
        EXPECT_NEAR(grid.clean[p].item<double>(), measured(metric, pair, clean, clean), 1e-5);
        EXPECT_NEAR(grid.corrupt[p].item<double>(), measured(metric, pair, corrupt, clean), 1e-5);
        for (const PatchGrid::Map& map : grid.maps) {
          for (std::int64_t layer = 0; layer < map.values.size(0); ++layer) {
            for (std::int64_t column = 0; column < 2; ++column) {
              const auto& place = pair.positions[static_cast<std::size_t>(column)];
              const double single = alone(grid, map.component, pair, layer, {}, {place.clean}, {place.corrupt});
              EXPECT_NEAR(map.values[layer][0][column][p].item<double>(), single, 1e-5)
                  << name_of(direction) << ' ' << name_of(metric) << ' ' << map.component << " pair " << i;
            }
          }
        }
      }
    }
  }
}

TEST_F(PatchTest, HeadsAndWholeTextsEqualRunsOneByOne) {
  std::vector<PromptPair> pairs = {pair_of({5, 9, 11, 20}, {6, 8, 30, 31}, {3, 7}), pairs_[2]};
  pairs[1].positions.clear();  // texts of 4 and of 7 tokens
  PatchOptions options;
  options.over = PatchAxes::kLayerHead;
  options.components = {"attention_output", "key_output"};
  const auto everywhere = [](const PromptPair& pair) {
    std::vector<std::int64_t> all(pair.clean.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  };
  for (const std::int64_t rows : {0, 3}) {
    options.rows_per_batch = rows;
    const PatchGrid grid = patch(lm_, pairs, options);
    const char* sites[]{"head_attention_value_output", "head_key_output"};
    for (std::size_t m = 0; m < 2; ++m) {
      const Tensor& values = grid.maps[m].values;
      ASSERT_EQ(values.size(1), lm_.model->sites().find(sites[m], 0).heads);
      for (std::int64_t layer = 0; layer < values.size(0); ++layer) {
        for (std::int64_t head = 0; head < values.size(1); ++head) {
          for (std::size_t i = 0; i < pairs.size(); ++i) {
            const auto all = everywhere(pairs[i]);
            EXPECT_NEAR(values[layer][head][0][static_cast<std::int64_t>(i)].item<double>(),
                        alone(grid, sites[m], pairs[i], layer, head, all, all), 1e-5);
          }
        }
      }
    }
  }
  options = {};
  options.over = PatchAxes::kLayer;
  const PatchGrid grid = patch(lm_, pairs, options);
  EXPECT_LT((grid.effect(grid.maps[0]) - 1).abs().max().item<double>(), 1e-5)
      << "a whole residual stream brings everything";
  options.over = PatchAxes::kLayerHeadPosition;
  const std::vector<PromptPair> one{pairs[0]};
  const PatchGrid fine = patch(lm_, one, options);
  const Tensor& values = fine.maps[0].values;
  EXPECT_EQ(values.size(2), 4);
  for (std::int64_t head = 0; head < values.size(1); ++head)
    EXPECT_NEAR(values[1][head][2][0].item<double>(),
                alone(fine, "head_attention_value_output", one[0], 1, head, {2}, {2}), 1e-5);
}

TEST_F(PatchTest, ProgressCountsRunsAndMayStop) {
  PatchOptions options;
  options.rows_per_batch = 5;
  std::size_t last = 0, whole = 0;
  options.progress = [&](std::size_t done, std::size_t all) {
    EXPECT_GT(done, last);
    last = done, whole = all;
    return true;
  };
  const PatchGrid grid = patch(lm_, pairs_, options);
  EXPECT_EQ(last, whole);
  EXPECT_EQ(whole, 3U * static_cast<std::size_t>(grid.maps[0].values.numel()));
  options.progress = [](std::size_t, std::size_t) { return false; };
  EXPECT_THAT([&] { patch(lm_, pairs_, options); }, ThrowsMessage<PlanError>(HasSubstr("the sweep was cancelled")));
}

TEST_F(PatchTest, IntervalsAreThoseOfTheSeededResamplesAndHoldTheMean) {
  PatchOptions options;
  options.bootstrap = 400;
  const PatchGrid grid = patch(lm_, pairs_, options), again = patch(lm_, pairs_, options);
  for (std::size_t m = 0; m < grid.maps.size(); ++m) {
    const PatchGrid::Map& map = grid.maps[m];
    EXPECT_TRUE(torch::equal(map.value_low, again.maps[m].value_low));
    EXPECT_TRUE((map.value_low <= map.mean() + 1e-9).all().item<bool>());
    EXPECT_TRUE((map.value_high >= map.mean() - 1e-9).all().item<bool>());
    EXPECT_TRUE((map.value_low >= std::get<0>(map.values.min(-1)) - 1e-9).all().item<bool>());
    EXPECT_GT((map.value_high - map.value_low).max().item<double>(), 0);
  }
  // One pair leaves nothing to draw.
  const PatchGrid single = patch(lm_, {pairs_[0]}, options);
  EXPECT_LT((single.maps[0].value_high - single.maps[0].value_low).abs().max().item<double>(), 1e-12);
  EXPECT_THAT(patch_csv(grid), StartsWith("component,layer,head,position,token,value,effect,value_low,value_high,"
                                          "effect_low,effect_high\nblock_output,0,,a,,"));
}

TEST_F(PatchTest, TablesHaveALineACellAndEmptyFieldsForAbsentAxes) {
  PatchOptions options;
  options.components = {"mlp_output"};
  options.over = PatchAxes::kLayer;
  const PatchGrid grid = patch(lm_, pairs_, options);
  EXPECT_THAT(patch_csv(grid), StartsWith("component,layer,head,position,token,value,effect\nmlp_output,0,,,,"));
  const std::string each = patch_pairs_csv(grid);
  EXPECT_THAT(each, StartsWith("pair,component,layer,head,position,token,value,effect\n0,mlp_output,0,,,,"));
  EXPECT_EQ(std::count(each.begin(), each.end(), '\n'), 1 + 3 * grid.maps[0].values.size(0));
  const json read = json::parse(patch_json(grid));
  EXPECT_NEAR(read["clean"]["mean"].get<double>(), grid.clean.mean().item<double>(), 1e-9);
  EXPECT_EQ(read["corrupt"]["values"].size(), 3U);
  EXPECT_EQ(read["maps"][0]["axes"], json({"layer"}));
  EXPECT_EQ(read["maps"][0]["values_of_pairs"][0].size(), 3U);
  EXPECT_EQ(read["pairs"][0]["positions"]["a"], json({1, 3}));
  // The same text twice: nothing to bring through.
  std::vector<PromptPair> same{pair_of({5, 6, 7}, {5, 6, 7}, {1, 2})};
  const PatchGrid none = patch(lm_, same, {});
  EXPECT_TRUE(none.effect(none.maps[0]).isnan().all().item<bool>());
  EXPECT_THAT(patch_csv(none), HasSubstr(",\n"));
  EXPECT_TRUE(json::parse(patch_json(none))["maps"][0]["effect"][0][0].is_null());
  for (const HeatMap& map : patch_maps(none)) EXPECT_FALSE(map.values.isnan().any().item<bool>());
}

// --- what is refused ----------------------------------------------------------------------------------

TEST_F(PatchTest, PairsThatCannotBeAlignedAreRefusedByTheirLine) {
  const auto refused = [&](const std::string& what, const PatchOptions& options = {}) {
    EXPECT_THAT([&] { patch(lm_, pairs_, options); }, ThrowsMessage<ConfigError>(HasSubstr(what)));
  };
  pairs_[1].positions.pop_back();
  refused("pairs, line 2: its positions are named a, those of pairs, line 1 a, b");
  pairs_[1].positions.clear();
  refused("pairs, line 2: its positions are named not at all, those of pairs, line 1 a, b");
  for (PromptPair& pair : pairs_) pair.positions.clear();
  refused("pairs, line 1: the clean text has 4 tokens, the corrupt one 6; name the positions that belong together");
  pairs_ = {pairs_[2], pair_of({5, 9, 11, 20}, {6, 8, 30, 31}, {3, 7})};
  pairs_[1].where = "pairs, line 7";
  refused("pairs, line 7: its texts have 4 tokens, those of pairs, line 3 7; name the positions");
  PatchOptions layers;
  layers.over = PatchAxes::kLayer;
  EXPECT_NO_THROW(patch(lm_, pairs_, layers)) << "all positions at once need no common length";
  pairs_[1].corrupt.clear();
  refused("pairs, line 7: an interchange needs a corrupt text, and there is none");
  pairs_[1].answers = {3};
  refused("pairs, line 7: the metric logit_diff needs a right and a wrong answer, got 1 answer");
  pairs_[1].answers.clear();
  layers.metric = AnswerMetric::kRank;
  refused("pairs, line 7: the metric rank needs an answer, got 0 answers", layers);
  pairs_.clear();
  refused("pairs: expected at least one");
}

TEST_F(PatchTest, ComponentsAreRefusedThatAreNotInEveryLayerOrHaveNoHeads) {
  const auto refused = [&](const PatchOptions& options, const std::string& what) {
    EXPECT_THAT([&] { patch(lm_, pairs_, options); }, testing::ThrowsMessage<Error>(HasSubstr(what)));
  };
  PatchOptions options;
  options.components = {"blok_output"};
  refused(options, "this model has no component 'blok_output'; did you mean 'block_output'");
  options.components = {"mlp_output", "mlp_output"};
  refused(options, "components: 'mlp_output' is given twice");
  options.over = PatchAxes::kLayerHead;
  options.components = {"mlp_output"};
  refused(options, "components: 'mlp_output' is not cut into heads");
  options = {};
  options.bootstrap = -1;
  refused(options, "bootstrap: expected at least 0 resamples, got -1");
  EXPECT_THAT([] { parse_answer_metric("logitdiff"); },
              ThrowsMessage<ConfigError>(HasSubstr("metric: unknown metric 'logitdiff'; did you mean 'logit_diff'?")));
  EXPECT_THAT([] { parse_patch_axes("layer,positon"); },
              ThrowsMessage<ConfigError>(HasSubstr("over: unknown axes 'layer,positon'")));
}

// --- files of pairs -----------------------------------------------------------------------------------

class PairsTest : public testing::Test {
 protected:
  void refused(const std::string& line, const std::string& what) {
    EXPECT_THAT([&] { parse_pairs("\n" + line + "\n", lm_, "p.jsonl"); },
                ThrowsMessage<Error>(HasSubstr("p.jsonl, line 2" + what)))
        << line;
  }
  models::LanguageModel lm_ = load("assets/landmarks-gpt2");
};

TEST_F(PairsTest, TextsAndIdsAreTheSamePair) {
  const auto pairs = parse_pairs(
      R"({"clean": "The Colosseum is in downtown", "corrupt": "The Eiffel Tower is in downtown", "answers": [" Rome", " Paris"]}

{"clean": [268, 912, 375, 484, 405, 262, 270, 441], "corrupt": [268, 448, 1486, 300, 464, 262, 270, 441], "answers": [1025, 1063], "positions": {"subject": 4, "last": [-1, 7]}, "answer_position": -1}
)",
      lm_, "p.jsonl");
  ASSERT_EQ(pairs.size(), 2U);
  EXPECT_EQ(pairs[0].clean, pairs[1].clean);
  EXPECT_EQ(pairs[0].corrupt, pairs[1].corrupt);
  EXPECT_EQ(pairs[0].answers, pairs[1].answers);
  EXPECT_EQ(pairs[1].where, "p.jsonl, line 3");
  ASSERT_EQ(pairs[1].positions.size(), 2U);
  EXPECT_EQ(pairs[1].positions[0].name, "subject") << "in the order of the line";
  EXPECT_EQ(pairs[1].positions[0].corrupt, 4);
  EXPECT_EQ(pairs[1].positions[1].clean, -1);
  EXPECT_EQ(pairs[1].positions[1].corrupt, 7);
  const PromptPair spelt =
      prompt_pair(lm_, "The Colosseum is in downtown", "The Eiffel Tower is in downtown", {" Rome", " Paris"});
  EXPECT_EQ(spelt.clean, pairs[0].clean);
  EXPECT_EQ(spelt.answers, pairs[0].answers);
}

TEST_F(PairsTest, EveryBadLineIsRefusedWithItsNumber) {
  refused("{", ": not JSON");
  refused("[1]", ": expected an object such as");
  refused(R"({"corrupt": "a"})", ": 'clean' is missing");
  refused(R"({"clean": 5})", ".clean: expected a text or a list of token ids, got 5");
  refused(R"({"clean": [1, "x"]})", ".clean[1]: expected a token id");
  refused(R"({"clean": ""})", ": clean: expected a text of at least one token");
  refused(R"({"clean": [1], "corrupt": ""})", ".corrupt: expected a text of at least one token");
  refused(R"({"clean": [1, 99999]})", ": clean: ");
  refused(R"({"clean": [1], "corrupt": [-4]})", ": corrupt: ");
  refused(R"({"clean": [1], "answers": [" Rome Paris"]})",
          ".answers[0]: expected an answer of one token, and ' Rome Paris' is 2 tokens here: ' Rome', ' Paris'");
  refused(R"({"clean": [1], "answers": [99999]})",
          ": answers[0]: token 99999 is outside the model's vocabulary of 2048");
  refused(R"({"clean": [1], "answers": [7, 7]})", ": answers: the right one and the wrong one are the same token, 7");
  refused(R"({"clean": [1], "answers": [1, 2, 3]})", ".answers: expected the right answer and the wrong one");
  refused(R"({"clean": [1], "answers": [true]})", ".answers[0]: expected a text or a token id, got true");
  refused(R"({"clean": [1, 2], "answer_position": 2})",
          ": answer_position: position 2 is out of range: the clean text has 2 tokens");
  refused(R"({"clean": [1, 2], "corrupt": [1], "positions": {"s": 1}})",
          ": positions.s: position 1 is out of range: the corrupt text has 1 tokens");
  refused(R"({"clean": [1, 2], "positions": {"s": [0, 1, 1]}})",
          ".positions.s: expected a position, or one in the clean text and one in the corrupt text");
  refused(R"({"clean": [1, 2], "answer": [1]})",
          ": unknown key 'answer'; did you mean 'answers' or 'answer_position'?");
  std::string longer = "[1";
  for (std::int64_t i = 0; i < lm_.model->context_length(); ++i) longer += ",1";
  refused(R"({"clean": )" + longer + "]}", ": clean: ");
  EXPECT_THAT([&] { parse_pairs("\n\n", lm_, "p.jsonl"); }, ThrowsMessage<ConfigError>("p.jsonl: there are no pairs"));
  EXPECT_THAT(
      [&] {
        prompt_pair(lm_, "a", "b", {" Rome", " nowhere at all"});
      },
      ThrowsMessage<ConfigError>(StartsWith("answers[1]: expected an answer of one token")));
  EXPECT_THAT(
      [&] {
        prompt_pair(lm_, "a", "b", {" Rome", " Paris", " Cairo"});
      },
      ThrowsMessage<ConfigError>("answers: expected the right one and the wrong one, got 3"));
  models::LanguageModel mute = lm_;
  mute.tokenizer.reset();
  EXPECT_THAT([&] { parse_pairs(R"({"clean": "a"})", mute, "p.jsonl"); },
              ThrowsMessage<ModelError>("p.jsonl, line 1.clean: this model has no tokenizer; give token ids"));
}

}  // namespace
}  // namespace vene
