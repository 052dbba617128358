// SPDX-License-Identifier: Apache-2.0
// Interventions at a value and at a part of it act in the order of the config, and a plan says in what order all act.
#include "tests/unit/core/generate_helpers.h"
#include "vene/models/gru.h"

namespace vene {
namespace {

using testing::HasSubstr;
using torch::Tensor;
using namespace vene_test;

std::shared_ptr<models::GRU> small_gru() {
  torch::manual_seed(5);
  return std::make_shared<models::GRU>(models::GRUOptions{.h_dim = 12,
                                                          .n_layer = 2,
                                                          .include_emb = true,
                                                          .vocab_size = 60,
                                                          .max_position_embeddings = 32,
                                                          .head = models::GRUHead::kLanguageModel});
}

struct Pair {
  std::shared_ptr<models::Model> model;
  Site part;
  std::string whole;  // path
};

std::vector<Pair> pairs_of(const std::shared_ptr<models::Model>& model) {
  std::vector<Pair> pairs;
  for (const Site& site : model->sites().all()) {
    if (!site.part || site.layer != 1) continue;
    for (const Site& other : model->sites().all()) {
      if (other.id == site.part->whole && other.phase == site.part->phase) pairs.push_back({model, site, other.path});
    }
  }
  return pairs;
}

std::string unit_of(const Site& site) {
  return site.calls == CallOrder::kPositions ? "t" : "pos";
}
std::string of_part(const Pair& pair, const std::string& rest) {
  return R"({"layer": 1, "component": ")" + pair.part.component + R"(", "unit": ")" + unit_of(pair.part) + R"(", )" +
         rest + "}";
}
std::string of_whole(const Pair& pair, const std::string& rest) {
  return R"({"component": ")" + pair.whole + R"(", "unit": ")" + unit_of(pair.part) + R"(", )" + rest + "}";
}

const std::string kZero = R"("intervention_type": "zero")", kRead = R"("intervention_type": "collect")";
std::string filled(std::int64_t width, int value) {
  std::string numbers;
  for (std::int64_t i = 0; i < width; ++i) numbers += (i > 0 ? ", " : "") + std::to_string(value);
  return R"("intervention_type": "vanilla", "source_representation": [)" + numbers + "]";
}

Result run(const Pair& pair, const std::vector<std::string>& representations, const Locations& locations) {
  std::string json;
  for (const std::string& one : representations) json += (json.empty() ? "[" : ", ") + one;
  IntervenableModel built(IntervenableConfig::parse(json + "]"), pair.model);
  return built->forward({.base = row_of({5, 9, 31, 2}), .locations = locations});
}

bool all_are(const Tensor& value, double expected) {
  return value.eq(expected).all().item<bool>();
}

TEST(WriteOrder, APartAndItsWholeActInTheConfigsOrder) {
  const torch::NoGradGuard no_grad;
  std::size_t pairs = 0;
  const std::vector<std::shared_ptr<models::Model>> models{small_gpt2(), golden_model("gpt_neox_parallel"),
                                                           golden_model("gpt_neox_serial"), small_gru()};
  for (const auto& model : models) {
    for (const Pair& pair : pairs_of(model)) {
      ++pairs;
      const std::int64_t width = pair.part.width, whole = width * std::max<std::int64_t>(pair.part.heads, 1) * 3;
      const std::string name = pair.part.component + " in " + pair.whole;
      for (const Locations& locations : {Locations(at(1)), Locations()}) {
        const auto value = [&](const std::vector<std::string>& representations) {
          return run(pair, representations, locations).collected[0].value;
        };
        EXPECT_TRUE(all_are(value({of_part(pair, filled(width, 5)), of_whole(pair, kZero), of_part(pair, kRead)}), 0))
            << name;
        EXPECT_TRUE(all_are(value({of_whole(pair, kZero), of_part(pair, filled(width, 5)), of_part(pair, kRead)}), 5))
            << name;
        const Tensor third = value({of_whole(pair, filled(whole, 2)), of_part(pair, kZero), of_whole(pair, kRead)});
        EXPECT_EQ(third.eq(0).sum().item<std::int64_t>(), third.numel() / 3) << name;
        EXPECT_EQ(third.eq(2).sum().item<std::int64_t>(), third.numel() / 3 * 2) << name;
        // What was read before a write is what was there.
        const Tensor before = value({of_part(pair, kRead), of_whole(pair, kZero)});
        EXPECT_FALSE(all_are(before, 0)) << name;
        // The part that comes last is what the model goes on with.
        const Tensor both =
            run(pair, {of_whole(pair, kZero), of_part(pair, filled(width, 5))}, locations).intervened.logits;
        const Tensor swapped =
            run(pair, {of_part(pair, filled(width, 5)), of_whole(pair, kZero)}, locations).intervened.logits;
        const Tensor zeroed = run(pair, {of_whole(pair, kZero)}, locations).intervened.logits;
        EXPECT_LE(relative_error(swapped, zeroed), 1e-6) << name;
        // A constant key moves all scores of a query alike, and a reset gate resets what the zeroed rest does not have.
        if (pair.part.component.find("value") != std::string::npos || pair.part.component.starts_with("update")) {
          EXPECT_GT(relative_error(both, zeroed), 1e-4) << name;
        }
      }
    }
  }
  EXPECT_EQ(pairs, 3U * 6 + 6);
}

TEST(WriteOrder, APartThroughItsWholeIsWhatItIsAlone) {
  // A write to another third does not change what a part is.
  const torch::NoGradGuard no_grad;
  for (const auto& model :
       std::vector<std::shared_ptr<models::Model>>{golden_model("gpt_neox_parallel"), small_gpt2()}) {
    for (const Pair& pair : pairs_of(model)) {
      const Tensor alone = run(pair, {of_part(pair, kRead)}, {}).collected[0].value;
      Pair other = pair;
      for (const Pair& candidate : pairs_of(model)) {
        if (candidate.part.part->index != pair.part.part->index) other = candidate;
      }
      const std::vector<std::string> through{of_whole(pair, kRead), of_part(other, kZero), of_part(pair, kRead)};
      const Result result = run(pair, through, {});
      EXPECT_TRUE(torch::equal(result.collected[1].value, alone)) << pair.part.component;
      EXPECT_EQ(result.fired.size(), 3U);
      for (const FireReport& fired : result.fired) EXPECT_EQ(fired.count, 1);
    }
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST(WriteOrder, APlanListsWhatItDoesInTheOrderThatTheModelRunsIt) {
  IntervenableModel built(IntervenableConfig::parse(R"([
      {"layer": 2, "intervention_type": "zero"},
      {"layer": 1, "component": "query_output", "intervention_type": "zero"},
      {"component": "transformer.h[1].attn.c_attn.output", "intervention_type": "zero"},
      {"layer": 1, "component": "query_output", "intervention_type": "collect"},
      {"layer": 0, "component": "mlp_output", "intervention_type": "zero"},
      {"layer": 0, "component": "mlp_activation", "intervention_type": "zero"}])"),
                          small_gpt2());
  const std::vector<std::string> lines = lines_of(built->compile({.base = row_of({5, 9, 31})}).describe());
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_THAT(lines[1], HasSubstr("write mlp_activation of layer 0"));
  EXPECT_THAT(lines[2], HasSubstr("write mlp_output of layer 0"));
  EXPECT_THAT(lines[3], HasSubstr("write query_output of layer 1"));
  EXPECT_THAT(lines[4], HasSubstr("write transformer.h.1.attn.c_attn.output"));
  EXPECT_THAT(lines[5], HasSubstr("collect query_output of layer 1"));
  EXPECT_THAT(lines[6], HasSubstr("write block_output of layer 2"));
}

TEST(WriteOrder, AGenerationKeepsItToo) {
  const auto model = small_gpt2();
  IntervenableModel built(IntervenableConfig::parse(R"([
      {"layer": 1, "component": "value_output", "intervention_type": "addition", "source_representation":
         [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]},
      {"component": "transformer.h[1].attn.c_attn.output", "intervention_type": "zero"},
      {"layer": 1, "component": "value_output", "intervention_type": "collect"}])"),
                          model);
  for (const bool cached : {true, false}) {
    const GenerateResult result =
        built->generate({.base = padded(kPrompts, true)}, {.max_new_tokens = 3, .use_cache = cached});
    ASSERT_EQ(result.collected[0].steps.size(), 3U);
    for (const auto& [step, value] : result.collected[0].steps) EXPECT_TRUE(all_are(value, 0)) << step << cached;
  }
}

}  // namespace
}  // namespace vene
