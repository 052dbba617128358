// SPDX-License-Identifier: Apache-2.0
// With a cache a decoding step sees one token; without one it sees everything again. Whatever the intervention and the
// time, both must say the same, and a batch of ragged prompts what each prompt alone says.
#include "tests/unit/core/generate_helpers.h"

namespace vene {
namespace {

using namespace vene_test;

struct Case {
  std::string name, config;
  Locations locations;
  bool source = false;
  bool constant = false;
};

std::vector<Case> cases() {
  auto one = [](const std::string& layer, const std::string& component, const std::string& type,
                const std::string& rest = "") {
    return R"([{"layer": )" + layer + R"(, "component": ")" + component + R"(", "intervention_type": ")" + type + "\"" +
           rest + "}]";
  };
  return {
      {"zero on an MLP", one("1", "mlp_output", "zero"), {}},
      {"zero at the last token", one("0", "block_output", "zero"), last()},
      {"a constant added", one("0", "block_output", "addition"), {}, false, true},
      {"a constant taken from the keys", one("1", "key_output", "subtraction"), {}, false, true},
      {"heads", one("1", "head_attention_value_output", "zero", R"(, "unit": "h")"), at({0, 2})},
      {"heads at a token", one("2", "head_query_output", "zero", R"(, "unit": "h.pos")"), heads_at({1, 3}, last())},
      {"attention patterns", one("1", "attention_pattern", "zero", R"(, "unit": "h")"), at({1})},
      {"interchange from a prompt", one("1", "block_output", "vanilla"), from(at(0), last()), true},
      {"interchange of heads", one("0", "head_value_output", "vanilla", R"(, "unit": "h.pos")"), heads_at({1}, last()),
       true},
      {"the embedding", one("0", "embedding", "addition"), {}, false, true},
      {"the final norm", one("0", "final_norm", "addition"), {}, false, true},
      {"two writes and a reader",
       R"([{"layer": 0, "component": "block_output", "intervention_type": "addition"},
                                      {"layer": 1, "component": "block_input", "intervention_type": "addition"},
                                      {"layer": 2, "component": "block_output", "intervention_type": "collect"}])",
       {},
       false,
       true},
      {"skip", one("1", "mlp_output", "skip"), from(at(0), last()), true},
  };
}

std::vector<When> times() {
  return {When::prompt(), When::decode(), When::both(), When::steps({0, 2}), When::steps(1, 3), When::from(2)};
}

class CachedAndRecomputed : public testing::TestWithParam<bool> {};

TEST_P(CachedAndRecomputed, SayTheSameWhateverTheInterventionAndTheTime) {
  const std::shared_ptr<models::Model> model =
      GetParam() ? std::shared_ptr<models::Model>(small_llama(3)) : std::shared_ptr<models::Model>(small_gpt2(3));
  torch::manual_seed(1);
  const std::int64_t narrow = GetParam() ? 8 : 16;  // Llama's keys are those of two heads
  for (const Case& one : cases()) {
    for (const When& when : times()) {
      SCOPED_TRACE(one.name + ", " + when.text());
      IntervenableModel patched(IntervenableConfig::parse(one.config), model);
      RunRequest request{
          .base = prompts_of(kPrompts), .locations = one.locations, .generation = Generation{.when = when}};
      if (one.source) request.sources = {prompts_of(kSourcePrompts)};
      if (one.constant)
        request.source_representations = {
            torch::randn({one.config.find("key_output") == std::string::npos ? 16 : narrow})};
      GenerateOptions options{.max_new_tokens = 5, .temperature = 0.7, .seed = 11, .keep_logits = true};
      const GenerateResult cached = patched->generate(request, options);
      options.use_cache = false;
      const GenerateResult whole = patched->generate(request, options);
      EXPECT_EQ(ids_of(cached.intervened), ids_of(whole.intervened));
      EXPECT_LE(relative_error(cached.intervened.logits, whole.intervened.logits), 1e-5);
      for (std::size_t i = 0; i < cached.fired.size(); ++i) EXPECT_EQ(cached.fired[i].count, whole.fired[i].count);
      for (std::size_t i = 0; i < cached.collected.size(); ++i) {
        ASSERT_EQ(cached.collected[i].steps.size(), whole.collected[i].steps.size());
        for (const auto& [step, value] : cached.collected[i].steps) {
          if (step > 0) {
            EXPECT_LE(relative_error(value, whole.collected[i].steps.at(step)), 1e-5);
          }
        }
      }
      // A row alone: its place in the batch seeds it.
      options.use_cache = true;
      for (std::size_t row = 0; row < kPrompts.size(); ++row) {
        RunRequest alone = request;
        alone.base = row_of(kPrompts[row]);
        if (one.source) alone.sources = {row_of(kSourcePrompts[row])};
        options.seed = 11 + row;
        const GenerateResult result = patched->generate(alone, options);
        EXPECT_EQ(ids_of(result.intervened)[0], ids_of(cached.intervened)[row]);
        EXPECT_LE(relative_error(result.intervened.logits[0], cached.intervened.logits[static_cast<std::int64_t>(row)]),
                  1e-5);
      }
    }
  }
}
TEST_P(CachedAndRecomputed, SayTheSameWhileSourcesGenerateToo) {
  const std::shared_ptr<models::Model> model =
      GetParam() ? std::shared_ptr<models::Model>(small_llama(5)) : std::shared_ptr<models::Model>(small_gpt2(5));
  const std::string both =
      R"({"mode": "MODE", "representations": [{"layer": 0, "component": "block_output"}, {"layer": 2, "component": "mlp_output"}]})";
  for (const std::string mode : {"parallel", "serial"}) {
    std::string config = both;
    config.replace(config.find("MODE"), 4, mode);
    IntervenableModel patched(IntervenableConfig::parse(config), model);
    const Locations locations = mode == "serial"
                                    ? Locations::parse(R"({"source_0->source_1": "last", "source_1->base": "last"})")
                                    : Locations(last());
    for (const When& when : {When::both(), When::decode(), When::steps({0, 3})}) {
      SCOPED_TRACE(mode + ", " + when.text());
      const RunRequest request{.base = prompts_of(kPrompts),
                               .sources = {prompts_of(kSourcePrompts), prompts_of(kPrompts)},
                               .locations = locations,
                               .generation = Generation{when, SourceSteps::kSame}};
      GenerateOptions options{.max_new_tokens = 5, .keep_logits = true};
      const GenerateResult cached = patched->generate(request, options);
      options.use_cache = false;
      const GenerateResult whole = patched->generate(request, options);
      EXPECT_EQ(ids_of(cached.intervened), ids_of(whole.intervened));
      EXPECT_LE(relative_error(cached.intervened.logits, whole.intervened.logits), 1e-5);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Models, CachedAndRecomputed, testing::Bool(),
                         [](const auto& info) { return info.param ? "Llama" : "GPT2"; });

}  // namespace
}  // namespace vene
