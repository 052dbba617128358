// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/ablate.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/data_folder.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "tests/unit/sweep/pair_helpers.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/io/files.h"
#include "vene/viz/ablate_maps.h"

namespace vene {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;
using testing::ThrowsMessage;
using torch::Tensor;
using vene_test::load;
using vene_test::pair_of;

const Ablation::Unit& unit_of(const Ablation& ablation, const std::string& component, std::int64_t layer,
                              std::int64_t index) {
  for (const Ablation::Unit& unit : ablation.units) {
    if (unit.component == component && unit.layer == layer && unit.index == index) return unit;
  }
  throw std::runtime_error("no such unit");
}

// --- against an independent program in double precision ---------------------------------------------

TEST(AblateLandmarks, HeadsAndMlpsWithoutTheirValueAreThoseOfAnIndependentProgram) {
  VENE_REQUIRE_DATA(data);
  std::ifstream file(*data / "circuits/landmarks-gpt2.json");
  if (!file) GTEST_SKIP() << "circuits/landmarks-gpt2.json is absent from the data folder";
  const json truth = json::parse(file);
  std::vector<PromptPair> pairs;
  for (std::size_t i = 0; i < truth["clean_ids"].size(); ++i)
    pairs.push_back(pair_of(truth["clean_ids"][i], truth["corrupt_ids"][i], truth["answers"][i]));
  const models::LanguageModel lm = load("assets/landmarks-gpt2");
  const std::pair<AblationKind, const char*> kinds[]{
      {AblationKind::kZero, "zero"}, {AblationKind::kMean, "mean"}, {AblationKind::kResampleCorrupt, "resample"}};
  for (const auto& [kind, name] : kinds) {
    AblateOptions options;
    options.kind = kind;
    options.data = truth["mean_dataset_ids"].get<std::vector<std::vector<std::int64_t>>>();
    options.positional = kind == AblationKind::kMean;  // the file's means are those of each position
    options.components = {"mlp_output"};
    const Ablation ablation = ablate(lm, pairs, options);
    ASSERT_EQ(ablation.units.size(), truth["ablation"][name].size());
    for (const Ablation::Unit& unit : ablation.units) {
      const std::string layer = std::to_string(unit.layer);
      const std::string key =
          unit.kind == AblationUnit::kHead ? "a" + layer + ".h" + std::to_string(unit.index) : "m" + layer;
      const double expected = truth["ablation"][name].at(key);
      EXPECT_NEAR(ablation.value(unit), expected, std::max(1e-4, 1e-5 * std::abs(expected))) << name << ' ' << key;
      EXPECT_NEAR(ablation.change(unit), expected - truth["clean"].get<double>(), 2e-4);
    }
  }
}

// --- against runs one by one ------------------------------------------------------------------------

class AblateTest : public testing::Test {
 protected:
  AblateTest() {
    pairs_ = {pair_of({5, 9, 11, 20}, {6, 8, 30, 31}, {3, 7}),
              pair_of({5, 6, 7, 8, 9, 10, 11}, {15, 16, 17, 18, 19, 20, 21}, {8, 4})};
    pairs_[1].where = "pairs, line 2";
    data_ = {{1, 2, 3, 4, 5, 6, 7}, {30, 9, 8}, {11, 12, 13, 14, 15}, {40, 41, 42, 43, 44, 45, 46, 47}};
  }

  // What is written instead, at one position of a pair: [width] of a layer's component or of one head.
  using Replacement = std::function<Tensor(std::int64_t position)>;

  // One unit of one pair as a run of its own.
  double alone(const PromptPair& pair, const std::string& component, std::int64_t layer,
               std::optional<std::int64_t> head, std::optional<std::int64_t> neuron, const Replacement& value) {
    RepresentationConfig written;
    written.component = component;
    written.layer = layer;
    written.intervention_type = "vanilla";
    written.unit = head ? "h.pos" : "pos";
    IntervenableConfig config;
    config.add_intervention(written);
    const auto length = static_cast<std::int64_t>(pair.clean.size());
    std::vector<Tensor> rows;
    for (std::int64_t position = 0; position < length; ++position) rows.push_back(value(position));
    Tensor values = torch::stack(rows).unsqueeze(0);  // [1, pos, width]
    RunRequest request;
    request.base.input_ids = torch::tensor(pair.clean).unsqueeze(0);
    if (head) {
      request.locations = heads_at({*head}, all());
      values = values.unsqueeze(1);
    } else {
      request.locations = all();
    }
    if (neuron) request.subspaces = {SubspaceIds{{{*neuron}}}};
    request.source_representations = {values};
    IntervenableModel model(config, lm_.model);
    const Tensor logits = model->forward(request).intervened.logits[0][-1];
    return (logits[pair.answers[0]] - logits[pair.answers[1]]).item<double>();
  }

  // What a text has at a site: [pos, width], or of one head.
  Tensor read(const std::vector<std::int64_t>& text, const std::string& component, std::int64_t layer,
              std::optional<std::int64_t> head = {}) {
    RepresentationConfig read;
    read.component = component;
    read.layer = layer;
    read.intervention_type = "collect";
    read.unit = head ? "h.pos" : "pos";
    IntervenableConfig config;
    config.add_intervention(read);
    RunRequest request;
    request.base.input_ids = torch::tensor(text).unsqueeze(0);
    request.locations = head ? heads_at({*head}, all()) : Locations(all());
    IntervenableModel model(config, lm_.model);
    return model->forward(request).collected.at(0).value.reshape({static_cast<std::int64_t>(text.size()), -1});
  }

  Tensor mean_of(const std::string& component, std::int64_t layer, std::optional<std::int64_t> head,
                 std::optional<std::int64_t> position) {
    std::vector<Tensor> tokens;
    for (const auto& text : data_) {
      const Tensor value = read(text, component, layer, head);
      if (!position) {
        tokens.push_back(value);
      } else if (*position < value.size(0)) {
        tokens.push_back(value.narrow(0, *position, 1));
      }
    }
    return torch::cat(tokens).mean(0);
  }

  models::LanguageModel lm_ = load("tests/golden/models/llama_gqa_tied");
  std::vector<PromptPair> pairs_;
  std::vector<std::vector<std::int64_t>> data_;
  const torch::NoGradGuard no_grad_;
};

TEST_F(AblateTest, EveryKindOfEveryUnitEqualsRunsOneByOne) {
  AblateOptions options;
  options.units = {AblationUnit::kLayer, AblationUnit::kHead, AblationUnit::kNeuron};
  options.layers = {1};
  options.data = data_;
  for (const auto kind : {AblationKind::kZero, AblationKind::kMean, AblationKind::kResampleCorrupt}) {
    for (const bool positional : {false, true}) {
      if (positional && kind != AblationKind::kMean) continue;
      options.kind = kind;
      options.positional = positional;
      const Ablation ablation = ablate(lm_, pairs_, options);
      std::size_t neurons = 0;
      for (const Ablation::Unit& unit : ablation.units) {
        if (unit.kind == AblationUnit::kNeuron && ++neurons > 3) continue;  // some will do
        const std::string site = unit.kind == AblationUnit::kHead ? "head_attention_value_output" : unit.component;
        const auto head = unit.kind == AblationUnit::kHead ? std::optional(unit.index) : std::nullopt;
        const auto neuron = unit.kind == AblationUnit::kNeuron ? std::optional(unit.index) : std::nullopt;
        for (std::size_t i = 0; i < pairs_.size(); ++i) {
          const double single = alone(pairs_[i], site, unit.layer, head, neuron, [&](std::int64_t position) -> Tensor {
            if (kind == AblationKind::kMean)
              return mean_of(site, unit.layer, head, positional ? std::optional(position) : std::nullopt);
            const Tensor there = read(pairs_[i].corrupt, site, unit.layer, head)[position];
            return kind == AblationKind::kZero ? torch::zeros_like(there) : there;
          });
          EXPECT_NEAR(unit.values[static_cast<std::int64_t>(i)].item<double>(), single, 1e-5)
              << name_of(kind) << ' ' << unit_text(unit) << " pair " << i;
        }
      }
    }
  }
}

// A published program replaced every head and MLP by one and the same vector.
TEST_F(AblateTest, EachHeadGetsItsOwnMean) {
  AblateOptions options;
  options.kind = AblationKind::kMean;
  options.data = data_;
  options.units = {AblationUnit::kHead};
  const Ablation ablation = ablate(lm_, pairs_, options);
  const std::string site = "head_attention_value_output";
  const Tensor first = mean_of(site, 0, 0, {});
  std::set<double> values;
  for (const Ablation::Unit& unit : ablation.units) {
    const Tensor own = mean_of(site, unit.layer, unit.index, {});
    const bool is_first = unit.layer == 0 && unit.index == 0;
    EXPECT_EQ((own - first).abs().max().item<double>() < 1e-7, is_first) << "the means themselves differ";
    EXPECT_NEAR(unit.values[0].item<double>(),
                alone(pairs_[0], site, unit.layer, unit.index, {}, [&](std::int64_t) { return own; }), 1e-5);
    if (!is_first) {
      EXPECT_GT(std::abs(unit.values[0].item<double>() -
                         alone(pairs_[0], site, unit.layer, unit.index, {}, [&](std::int64_t) { return first; })),
                1e-6)
          << unit_text(unit) << ": another head's mean does something else";
    }
    values.insert(unit.values[0].item<double>());
  }
  EXPECT_EQ(values.size(), ablation.units.size());
}

TEST_F(AblateTest, GreedyAddsTheUnitThatHarmsLeastOfAllEachTime) {
  AblateOptions options;
  options.greedy = 3;
  options.layers = {0, 1};
  const Ablation greedy = ablate(lm_, pairs_, options);
  ASSERT_EQ(greedy.units.size(), 3U);
  options.greedy = 0;
  const Ablation single = ablate(lm_, pairs_, options);
  double best = -INFINITY;
  for (const Ablation::Unit& unit : single.units) best = std::max(best, single.value(unit));
  EXPECT_NEAR(greedy.value(greedy.units[0]), best, 1e-6);
  // The second step by hand: every other unit beside the first, as plain runs with zeros.
  double second = -INFINITY;
  for (const Ablation::Unit& unit : single.units) {
    const Ablation::Unit& chosen = greedy.units[0];
    if (unit_text(unit) == unit_text(chosen)) continue;
    double sum = 0;
    for (const PromptPair& pair : pairs_) {
      IntervenableConfig config;
      HopSelection hop;
      for (const Ablation::Unit* one : {&chosen, &unit}) {
        const bool head = one->kind == AblationUnit::kHead;
        RepresentationConfig written;
        written.component = head ? "head_attention_value_output" : one->component;
        written.layer = one->layer;
        written.unit = head ? "h.pos" : "pos";
        written.intervention_type = "zero";
        config.add_intervention(written);
        std::vector<AxisSelection> axes;
        if (head) axes.push_back({{at(one->index).selection}});
        axes.push_back({{all().selection}});
        hop.base.units.emplace_back(axes);
      }
      RunRequest request;
      request.base.input_ids = torch::tensor(pair.clean).unsqueeze(0);
      request.locations.hops["sources->base"] = hop;
      IntervenableModel model(config, lm_.model);
      const Tensor logits = model->forward(request).intervened.logits[0][-1];
      sum += (logits[pair.answers[0]] - logits[pair.answers[1]]).item<double>();
    }
    second = std::max(second, sum / static_cast<double>(pairs_.size()));
  }
  EXPECT_NEAR(greedy.value(greedy.units[1]), second, 1e-5);
  // Of a divergence less is better.
  options.metric = AnswerMetric::kKl;
  const Ablation all = ablate(lm_, pairs_, options);
  options.greedy = 1;
  const Ablation least = ablate(lm_, pairs_, options);
  for (const Ablation::Unit& unit : all.units) EXPECT_LE(least.value(least.units[0]), all.value(unit) + 1e-9);
  options.greedy = 100;
  EXPECT_THAT([&] { ablate(lm_, pairs_, options); }, ThrowsMessage<ConfigError>(HasSubstr("greedy: expected 0 to ")));
}

TEST_F(AblateTest, OtherTextsAreDrawnByTheSeedAndCutToThePairsLength) {
  AblateOptions options;
  options.kind = AblationKind::kResampleData;
  options.data = data_;
  const Ablation ablation = ablate(lm_, pairs_, options), again = ablate(lm_, pairs_, options);
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    EXPECT_EQ(ablation.pairs[i].corrupt, again.pairs[i].corrupt);
    EXPECT_EQ(ablation.pairs[i].corrupt.size(), pairs_[i].clean.size());
  }
  std::vector<PromptPair> drawn = ablation.pairs;
  options.kind = AblationKind::kResampleCorrupt;
  const Ablation same = ablate(lm_, drawn, options);
  for (std::size_t u = 0; u < same.units.size(); ++u)
    EXPECT_TRUE(torch::equal(same.units[u].values, ablation.units[u].values));
  options.kind = AblationKind::kResampleData;
  options.data = {{1, 2, 3, 4, 5}};
  EXPECT_THAT([&] { ablate(lm_, pairs_, options); },
              ThrowsMessage<ConfigError>(
                  HasSubstr("pairs, line 2: no text of the data differs from it and has its 7 tokens or more")));
}

TEST_F(AblateTest, TablesHaveALineAUnitAndIntervalsHoldTheMeans) {
  AblateOptions options;
  options.bootstrap = 200;
  options.units = {AblationUnit::kLayer, AblationUnit::kHead, AblationUnit::kNeuron};
  options.layers = {0};
  options.components = {"mlp_output"};
  const Ablation ablation = ablate(lm_, pairs_, options);
  EXPECT_THAT(ablate_csv(ablation), StartsWith("component,layer,head,neuron,value,change,value_low,value_high,change_"
                                               "low,change_high\nmlp_output,0,,,"));
  EXPECT_THAT(ablate_csv(ablation), HasSubstr("\nattention_output,0,1,,"));
  EXPECT_THAT(ablate_csv(ablation), HasSubstr("\nmlp_activation,0,,5,"));
  EXPECT_THAT(ablate_pairs_csv(ablation),
              StartsWith("pair,component,layer,head,neuron,value,change\n0,mlp_output,0,,,"));
  for (const Ablation::Unit& unit : ablation.units) {
    EXPECT_LE(unit.value_low, ablation.value(unit) + 1e-9);
    EXPECT_GE(unit.value_high, ablation.value(unit) - 1e-9);
    EXPECT_LE(unit.change_low, ablation.change(unit) + 1e-9);
    EXPECT_GE(unit.change_high, ablation.change(unit) - 1e-9);
  }
  const json read = json::parse(ablate_json(ablation));
  EXPECT_EQ(read["units"].size(), ablation.units.size());
  EXPECT_EQ(read["units"][1]["head"], 0);
  EXPECT_NEAR(read["units"][0]["change"].get<double>(), ablation.change(ablation.units[0]), 1e-9);
  const std::vector<HeatMap> maps = ablation_maps(ablation);
  ASSERT_EQ(maps.size(), 3U);
  EXPECT_NEAR(maps[0].values[0][0].item<double>(), -ablation.change(ablation.units[0]), 1e-9) << "lost, not gained";
  EXPECT_NEAR(maps[2].values[0][5].item<double>(), -ablation.change(unit_of(ablation, "mlp_activation", 0, 5)), 1e-9);
}

TEST_F(AblateTest, WhatIsLackingIsNamed) {
  AblateOptions options;
  const auto refused = [&](const std::string& what) {
    EXPECT_THAT([&] { ablate(lm_, pairs_, options); }, ThrowsMessage<ConfigError>(HasSubstr(what)));
  };
  options.kind = AblationKind::kMean;
  refused("data: mean needs texts, and there are none");
  options.data = {{1, 2, 3, 4, 5}};
  options.positional = true;
  refused("pairs, line 2: its text has 7 tokens, the longest of the data 5, so there is no mean for each position");
  options.kind = AblationKind::kZero;
  refused("positional: a mean for each position is for the kind mean, and this is zero");
  options = {};
  options.units = {AblationUnit::kNeuron};
  refused("units: neurons are ablated in chosen layers; give the layers");
  options.units = {};
  refused("units: expected at least one of layer, head, neuron");
  options.units = {AblationUnit::kHead, AblationUnit::kHead};
  refused("units: 'head' is given twice");
  options = {};
  options.layers = {1, 1};
  refused("layers: 1 is given twice");
  options = {};
  options.kind = AblationKind::kResampleCorrupt;
  pairs_[1].corrupt.pop_back();
  refused("pairs, line 2: the clean text has 7 tokens, the corrupt one 6, so there is none for each position");
  pairs_[1].corrupt.clear();
  refused("pairs, line 2: its values are to come from a corrupt text, and there is none");
  EXPECT_THAT([] { parse_ablation_unit("heads"); },
              ThrowsMessage<ConfigError>(HasSubstr("units: unknown unit 'heads'; did you mean 'head'?")));
}

TEST_F(AblateTest, TextsAreReadByLineOrAsJson) {
  const models::LanguageModel lm = load("assets/landmarks-gpt2");
  const vene_test::TestFolder folder;
  io::write_file(folder / "texts.txt", "The Louvre is in downtown\n\nBig Ben\r\n");
  const auto lines = read_texts(folder / "texts.txt", lm);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1], lm.tokenizer->encode("Big Ben"));
  io::write_file(folder / "texts.jsonl", "\"Big Ben\"\n[5, 6]\n");
  EXPECT_THAT(read_texts(folder / "texts.jsonl", lm), testing::ElementsAre(lines[1], testing::ElementsAre(5, 6)));
  const auto refused = [&](const std::string& text, const std::string& what) {
    io::write_file(folder / "bad.jsonl", text);
    EXPECT_THAT([&] { read_texts(folder / "bad.jsonl", lm); }, ThrowsMessage<Error>(HasSubstr(what)));
  };
  refused("[1]\n{\n", "bad.jsonl, line 2: not JSON");
  refused("[1]\n{}\n", "bad.jsonl, line 2: expected a text or a list of token ids, got {}");
  refused("\"\"\n", "bad.jsonl, line 1: expected a text of at least one token");
  refused("[99999]\n", "bad.jsonl, line 1: ");
  refused("\n", "bad.jsonl: there are no texts");
}

}  // namespace
}  // namespace vene
