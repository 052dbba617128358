// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "tests/unit/core/generate_helpers.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

GenerateOptions greedy(std::int64_t tokens) {
  return {.max_new_tokens = tokens, .keep_logits = true};
}

IntervenableModel make(const std::string& config, std::shared_ptr<models::Model> model) {
  return IntervenableModel(IntervenableConfig::parse(config), std::move(model));
}

// The logits after the last token of a row in which a run with the same interventions says what `locations` picks.
torch::Tensor run_logits(IntervenableModel& patched, const std::vector<std::int64_t>& row, const Locations& locations,
                         const std::vector<torch::Tensor>& constants = {}) {
  return patched->forward({.base = row_of(row), .locations = locations, .source_representations = constants})
      .intervened.logits[0][-1];
}

TEST(Generate, WithoutInterventionsEqualsAskingTheModelForEachWholeRow) {
  for (const std::shared_ptr<models::Model>& model :
       {std::shared_ptr<models::Model>(small_gpt2()), std::shared_ptr<models::Model>(small_llama())}) {
    const auto expected =
        continued(kPrompts, 8, [&](std::size_t, const auto& row) { return model->forward(row_of(row)).logits[0][-1]; });
    for (const bool left : {false, true}) {
      for (const bool cache : {true, false}) {
        GenerateOptions options = greedy(8);
        options.use_cache = cache;
        EXPECT_EQ(ids_of(generate(*model, prompts_of(kPrompts, left), options)), expected)
            << model->architecture() << left << cache;
      }
    }
  }
}

TEST(Generate, ActsOnEveryTokenWithoutLocations) {
  const auto model = small_gpt2();
  const torch::Tensor push = torch::randn({16});
  IntervenableModel patched =
      make(R"([{"layer": 1, "component": "block_output", "intervention_type": "addition"}])", model);
  const auto expected =
      continued(kPrompts, 6, [&](std::size_t, const auto& row) { return run_logits(patched, row, {}, {push}); });
  const GenerateResult result =
      patched->generate({.base = prompts_of(kPrompts), .source_representations = {push}, .original = true}, greedy(6));
  EXPECT_EQ(ids_of(result.intervened), expected);
  EXPECT_EQ(ids_of(*result.original), ids_of(generate(*model, prompts_of(kPrompts), greedy(6))));
  EXPECT_NE(ids_of(*result.original), expected);
  EXPECT_EQ(result.fired[0].count, 6);
}

TEST(Generate, DecodingAloneLeavesThePromptAsItIs) {
  const auto model = small_gpt2();
  const torch::Tensor push = torch::randn({16});
  IntervenableModel patched =
      make(R"([{"layer": 0, "component": "mlp_output", "intervention_type": "addition"}])", model);
  const auto expected = continued(kPrompts, 6, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()), length = static_cast<std::int64_t>(row.size());
    return length == prompt ? model->forward(row_of(row)).logits[0][-1]
                            : run_logits(patched, row, span(prompt, length), {push});
  });
  // pyvene's default spelling, position 0 of what a decoding step reads, is the same.
  for (const Locations& locations : {Locations{}, Locations(at(0)), Locations(last()), Locations(all())}) {
    const GenerateResult result = patched->generate({.base = prompts_of(kPrompts),
                                                     .locations = locations,
                                                     .source_representations = {push},
                                                     .generation = Generation{.when = When::decode()}},
                                                    greedy(6));
    EXPECT_EQ(ids_of(result.intervened), expected);
    EXPECT_EQ(result.fired[0].count, 5);
  }
}

TEST(Generate, LocationsNamePlacesOfThePromptUnlessToldOtherwise) {
  const auto model = small_llama();
  IntervenableModel patched =
      make(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])", model);
  for (const std::int64_t place : {std::int64_t{1}, std::int64_t{-2}}) {
    const auto expected = continued(kPrompts, 6, [&](std::size_t r, const auto& row) {
      return run_logits(patched, row, at(place < 0 ? static_cast<std::int64_t>(kPrompts[r].size()) + place : place));
    });
    for (const bool left : {false, true}) {
      EXPECT_EQ(
          ids_of(patched->generate({.base = prompts_of(kPrompts, left), .locations = at(place)}, greedy(6)).intervened),
          expected);
    }
  }
}

TEST(Generate, StepsPickThePassesOneByOne) {
  const auto model = small_gpt2();
  const torch::Tensor push = torch::randn({16});
  IntervenableModel patched = make(
      R"([{"layer": 2, "component": "block_input", "intervention_type": "addition", "when": {"steps": [2, {"span": [4, 6]}]}}])",
      model);
  IntervenableModel plain =
      make(R"([{"layer": 2, "component": "block_input", "intervention_type": "addition"}])", model);
  const auto expected = continued(kPrompts, 8, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()), length = static_cast<std::int64_t>(row.size());
    std::vector<std::int64_t> touched;
    for (std::int64_t step : {2, 4, 5}) {
      if (prompt + step - 1 < length) touched.push_back(prompt + step - 1);
    }
    return touched.empty() ? model->forward(row_of(row)).logits[0][-1] : run_logits(plain, row, at(touched), {push});
  });
  const GenerateResult result =
      patched->generate({.base = prompts_of(kPrompts), .source_representations = {push}}, greedy(8));
  EXPECT_EQ(ids_of(result.intervened), expected);
  EXPECT_EQ(result.fired[0].count, 3);
}

TEST(Generate, EachRowHasItsOwnStrength) {
  const auto model = small_gpt2();
  const torch::Tensor direction = torch::randn({16}), strengths = torch::tensor({0.0, 1.5, -4.0}).view({3, 1, 1});
  const std::string config = R"([{"layer": 0, "component": "block_output", "intervention_type": "addition"},
                                 {"layer": 2, "component": "mlp_output", "intervention_type": "addition"}])";
  IntervenableModel patched = make(config, model);
  const torch::Tensor scaled = strengths * direction;  // [batch, 1, width]
  const auto rows =
      ids_of(patched->generate({.base = prompts_of(kPrompts), .source_representations = {scaled, scaled}}, greedy(6))
                 .intervened);
  EXPECT_EQ(rows[0], ids_of(generate(*model, row_of(kPrompts[0]), greedy(6)))[0]);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const torch::Tensor own = scaled[static_cast<std::int64_t>(row)][0];
    EXPECT_EQ(rows[row],
              ids_of(patched->generate({.base = row_of(kPrompts[row]), .source_representations = {own, own}}, greedy(6))
                         .intervened)[0]);
  }
}

TEST(Generate, ASourcesPromptGivesItsValueToEveryStep) {
  const auto model = small_gpt2();
  IntervenableModel patched = make(R"([{"layer": 1, "component": "block_output"}])", model);
  const models::Batch sources = prompts_of(kSourcePrompts);
  std::vector<torch::Tensor> values;  // of each source's second token
  for (const auto& row : kSourcePrompts)
    values.push_back(values_at_named_sites(*model, row_of(row))["block_output.1"][0][1]);
  IntervenableModel constant = make(R"([{"layer": 1, "component": "block_output"}])", model);
  const auto expected = continued(kPrompts, 5, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()), length = static_cast<std::int64_t>(row.size());
    return length == prompt ? model->forward(row_of(row)).logits[0][-1]
                            : run_logits(constant, row, span(prompt, length), {values[r]});
  });
  const GenerateResult result = patched->generate({.base = prompts_of(kPrompts),
                                                   .sources = {sources},
                                                   .locations = from(at(1), last()),
                                                   .generation = Generation{.when = When::decode()}},
                                                  greedy(5));
  EXPECT_EQ(ids_of(result.intervened), expected);
}

TEST(Generate, ASourceThatGeneratesTooGivesItsOwnStep) {
  const auto model = small_gpt2();
  const auto said = ids_of(generate(*model, prompts_of(kSourcePrompts), greedy(5)));
  std::vector<torch::Tensor> values;  // of every token that the sources read or said
  for (const auto& row : said) values.push_back(values_at_named_sites(*model, row_of(row))["block_output.0"][0]);
  IntervenableModel patched = make(R"([{"layer": 0, "component": "block_output"}])", model);
  const auto expected = continued(kPrompts, 5, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()), length = static_cast<std::int64_t>(row.size());
    if (length == prompt) return model->forward(row_of(row)).logits[0][-1];
    const torch::Tensor own = values[r].narrow(0, static_cast<std::int64_t>(kSourcePrompts[r].size()), length - prompt);
    return run_logits(patched, row, span(prompt, length), {own});
  });
  const GenerateResult result = patched->generate({.base = prompts_of(kPrompts),
                                                   .sources = {prompts_of(kSourcePrompts)},
                                                   .generation = Generation{When::decode(), SourceSteps::kSame}},
                                                  greedy(5));
  EXPECT_EQ(ids_of(result.intervened), expected);
}

TEST(Generate, CollectsEveryStepAfterWhatWasWrittenUpstream) {
  const auto model = small_gpt2();
  IntervenableModel patched =
      make(R"([{"layer": 1, "component": "block_input", "intervention_type": "zero", "when": {"steps": [1, 3]}},
                                       {"layer": 1, "component": "block_input", "intervention_type": "collect"}])",
           model);
  const GenerateResult result = patched->generate({.base = prompts_of(kPrompts)}, greedy(4));
  ASSERT_EQ(result.collected.size(), 1U);
  const auto& steps = result.collected[0].steps;
  ASSERT_EQ(steps.size(), 4U);
  EXPECT_THAT(steps.at(0).sizes(), ElementsAre(3, 6, 16));
  EXPECT_THAT(steps.at(2).sizes(), ElementsAre(3, 1, 16));
  EXPECT_GT(steps.at(2).abs().max().item<double>(), 0);
  EXPECT_EQ(steps.at(3).abs().max().item<double>(), 0);
  EXPECT_EQ(result.fired[0].count, 2);
  EXPECT_EQ(result.fired[1].count, 4);
}

TEST(Generate, IdsOfRowsThatEndApartArePaddedAtTheRight) {
  const auto model = small_gpt2();
  const auto whole = ids_of(generate(*model, prompts_of(kPrompts), greedy(6)));
  GenerateOptions options = greedy(6);
  options.stop_tokens = {whole[1][kPrompts[1].size() + 1]};
  const Generated ended = generate(*model, prompts_of(kPrompts), options);
  EXPECT_EQ(ended.rows[1].stopped, StopReason::kStopToken);
  EXPECT_LE(ended.rows[1].ids.size(), kPrompts[1].size() + 2);
  EXPECT_EQ(ended.rows[1].ids.back(), options.stop_tokens[0]);
  const torch::Tensor ids = ended.ids();
  EXPECT_EQ(ids.scalar_type(), torch::kInt64);
  EXPECT_EQ(ids.size(0), 3);
  EXPECT_EQ(ids[1][-1].item<std::int64_t>(), -1);
}

TEST(Generate, StreamsTokensAndCanBeCancelled) {
  const auto model = small_gpt2();
  std::vector<std::vector<std::int64_t>> seen(3);
  GenerateOptions options = greedy(6);
  options.on_token = [&](const GeneratedToken& token) {
    seen[token.row].push_back(token.id);
    EXPECT_EQ(token.last, token.step == 5);
    return true;
  };
  const auto rows = ids_of(generate(*model, prompts_of(kPrompts), options));
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(seen[row], std::vector<std::int64_t>(
                             rows[row].begin() + static_cast<std::ptrdiff_t>(kPrompts[row].size()), rows[row].end()));
  }
  IntervenableModel patched = make(
      R"([{"layer": 0, "component": "block_output", "intervention_type": "zero", "when": {"steps": [5]}}])", model);
  options.on_token = [&](const GeneratedToken& token) { return token.step < 2; };
  const GenerateResult cancelled = patched->generate({.base = prompts_of(kPrompts)}, options);
  EXPECT_TRUE(cancelled.cancelled);  // and no complaint that step 5 never came
  EXPECT_EQ(cancelled.intervened.rows[0].ids.size(), kPrompts[0].size() + 3);
  EXPECT_EQ(cancelled.intervened.rows[2].stopped, StopReason::kCancelled);
}

TEST(Generate, ThreadsGenerateFromOnePlanAtOnce) {
  const auto model = small_gpt2();
  IntervenableModel patched = make(R"([{"layer": 1, "component": "mlp_output", "intervention_type": "zero"}])", model);
  const RunRequest request{.base = prompts_of(kPrompts), .generation = Generation{}};
  const Plan plan = patched->compile(request);
  const auto expected = ids_of(generate(plan, request.base, {}, greedy(8)).intervened);
  std::vector<std::vector<std::vector<std::int64_t>>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] { result = ids_of(generate(plan, request.base, {}, greedy(8)).intervened); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Generate, SaysWhatIsWrong) {
  const auto model = small_gpt2();
  IntervenableModel zero = make(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero"}])", model);
  IntervenableModel vanilla = make(R"([{"layer": 1, "component": "block_output"}])", model);
  const models::Batch base = prompts_of(kPrompts), source = prompts_of(kSourcePrompts);
  auto with = [](When when) { return Generation{.when = std::move(when)}; };
  EXPECT_THAT(
      [&] {
        zero->generate({.base = base, .generation = with(When::steps({7, 9}))}, greedy(3));
      },
      ThrowsMessage<PlanError>(
          HasSubstr("it never acted: it acts in steps 7, 9, and the generation had steps 0 to 2")));
  EXPECT_THAT([&] { zero->generate({.base = base, .generation = with(When::decode())}, greedy(1)); },
              ThrowsMessage<PlanError>(
                  HasSubstr("it acts in decoding steps, and the generation had the pass over the prompt alone")));
  EXPECT_THAT([&] { zero->generate({.base = base, .locations = at(2), .generation = with(When::both())}, greedy(3)); },
              ThrowsMessage<LocationError>(AllOf(HasSubstr("position 2 is out of range: the row has 1"),
                                                 HasSubstr("positions of the prompt take \"when\": \"prompt\""))));
  EXPECT_THAT(
      [&] { vanilla->generate({.base = base, .sources = {source}, .generation = with(When::decode())}, greedy(3)); },
      ThrowsMessage<PlanError>(HasSubstr("give the source a position")));
  EXPECT_THAT([&] { zero->generate({.base = base}, greedy(30)); },
              ThrowsMessage<ConfigError>(
                  HasSubstr("30 new tokens after a prompt of 6 do not fit the model's 24 positions; at most 19 do")));
  EXPECT_NO_THROW(zero->generate({.base = base}, greedy(19)));
  EXPECT_THAT([&] { zero->generate({.base = base}, {.temperature = -1}); },
              ThrowsMessage<ConfigError>(HasSubstr("generate.temperature: expected 0 (greedy) or more")));
  EXPECT_THAT([&] { zero->generate({.base = base}, {.top_p = 0}); },
              ThrowsMessage<ConfigError>(HasSubstr("generate.top_p: expected more than 0, at most 1")));
  EXPECT_THAT([&] { zero->generate({.base = base}, {.stop_texts = {"x"}}); },
              ThrowsMessage<ConfigError>(HasSubstr("needs a model with a tokenizer")));
  EXPECT_THAT(
      [&] {
        zero->generate({.base = {.inputs_embeds = torch::zeros({1, 2, 16})}});
      },
      ThrowsMessage<PlanError>(HasSubstr("a generation needs token ids")));
  models::Batch holes = row_of({1, 2, 3});
  holes.attention_mask = torch::tensor({{1, 0, 1}});
  EXPECT_THAT([&] { zero->generate({.base = holes}); },
              ThrowsMessage<PlanError>(HasSubstr("has a hole between tokens")));
  EXPECT_THAT([&] { generate(zero->compile({.base = base}), base); },
              ThrowsMessage<PlanError>(HasSubstr("this plan is for run")));
  EXPECT_THAT([&] { run(zero->compile({.base = base, .generation = Generation{}}), base); },
              ThrowsMessage<PlanError>(HasSubstr("this plan is for generate")));
  IntervenableModel late =
      make(R"([{"layer": 1, "component": "block_output", "intervention_type": "zero", "when": "decode"}])", model);
  EXPECT_THAT(
      [&] { late->forward({.base = base}); },
      ThrowsMessage<PlanError>(HasSubstr("it acts in decoding steps only, and a run is the pass over the prompt")));
}

}  // namespace
}  // namespace vene
