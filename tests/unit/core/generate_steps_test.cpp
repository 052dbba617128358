// SPDX-License-Identifier: Apache-2.0
// Interventions on the cells of a recurrent language model while it generates, beside whole runs of what it has said so
// far.
#include "tests/unit/core/generate_helpers.h"
#include "vene/models/gru.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using namespace vene_test;

constexpr std::int64_t kNew = 6;

class GenerateSteps : public testing::TestWithParam<bool> {
 protected:
  static std::shared_ptr<models::GRU> small_gru() {
    torch::manual_seed(3);
    auto made = std::make_shared<models::GRU>(models::GRUOptions{.h_dim = 12,
                                                                 .n_layer = 2,
                                                                 .include_emb = true,
                                                                 .vocab_size = 60,
                                                                 .max_position_embeddings = 32,
                                                                 .head = models::GRUHead::kLanguageModel});
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : made->parameters()) parameter.normal_(0, 0.7);
    for (Tensor& parameter : made->parameters()) parameter.set_requires_grad(false);
    return made;
  }
  std::shared_ptr<models::GRU> model = small_gru();

  IntervenableModel make(const std::string& type, std::int64_t layer = 0) const {
    return IntervenableModel(
        IntervenableConfig::parse(R"([{"layer": )" + std::to_string(layer) +
                                  R"(, "component": "cell_output", "unit": "t", "intervention_type": ")" + type +
                                  R"("}])"),
        model);
  }
  GenerateOptions greedy() const { return {.max_new_tokens = kNew, .use_cache = GetParam()}; }
  Tensor plain(const std::vector<std::int64_t>& row) const { return model->forward(row_of(row)).logits[0][-1]; }
  // The states of a layer at every position of a plain run, [pos, width].
  Tensor states(const std::vector<std::int64_t>& row, std::int64_t layer = 0) const {
    return make("collect", layer)->forward({.base = row_of(row)}).collected[0].value[0];
  }
  // What a whole run says next when the steps from `begin` on are acted on.
  static Tensor from_step(IntervenableModel& patched, const std::vector<std::int64_t>& row, std::int64_t begin,
                          const Tensor& constant) {
    return patched
        ->forward({.base = row_of(row),
                   .locations = span(begin, static_cast<std::int64_t>(row.size())),
                   .source_representations = {constant}})
        .intervened.logits[0][-1];
  }
};

TEST_P(GenerateSteps, WithoutLocationsEveryStepOfThePassesIsActedOn) {
  const Tensor push = torch::linspace(-1, 1, 12);
  IntervenableModel patched = make("addition");
  for (const bool left : {false, true}) {
    for (const When& when : {When::prompt(), When::decode(), When::both()}) {
      const auto expected = continued(kPrompts, kNew, [&](std::size_t r, const auto& row) {
        const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()),
                   length = static_cast<std::int64_t>(row.size());
        if (when == When::both()) return from_step(patched, row, 0, push);
        if (when == When::prompt())
          return patched->forward({.base = row_of(row), .locations = span(0, prompt), .source_representations = {push}})
              .intervened.logits[0][-1];
        return length == prompt ? plain(row) : from_step(patched, row, prompt, push);
      });
      const GenerateResult result = patched->generate({.base = prompts_of(kPrompts, left),
                                                       .source_representations = {push},
                                                       .generation = Generation{.when = when}},
                                                      greedy());
      EXPECT_EQ(ids_of(result.intervened), expected) << when.text() << left;
      EXPECT_NE(expected, ids_of(generate(*model, prompts_of(kPrompts), greedy())));
    }
  }
}

TEST_P(GenerateSteps, LocationsAreStepsOfEachPrompt) {
  IntervenableModel patched = make("zero", 1);
  const auto expected = continued(kPrompts, kNew, [&](std::size_t r, const auto& row) {
    return patched->forward({.base = row_of(row), .locations = at(static_cast<std::int64_t>(kPrompts[r].size()) - 2)})
        .intervened.logits[0][-1];
  });
  for (const bool left : {false, true})
    EXPECT_EQ(ids_of(patched->generate({.base = prompts_of(kPrompts, left), .locations = at(-2)}, greedy()).intervened),
              expected);
  // In a decoding step there is one: 0, or the last.
  const auto everywhere = ids_of(
      patched->generate({.base = prompts_of(kPrompts), .generation = Generation{.when = When::decode()}}, greedy())
          .intervened);
  for (const Locations& one : {Locations(at(0)), Locations(last())}) {
    EXPECT_EQ(ids_of(patched
                         ->generate({.base = prompts_of(kPrompts),
                                     .locations = one,
                                     .generation = Generation{.when = When::decode()}},
                                    greedy())
                         .intervened),
              everywhere);
  }
  EXPECT_THAT(
      [&] {
        patched->generate(
            {.base = prompts_of(kPrompts), .locations = at(2), .generation = Generation{.when = When::both()}},
            greedy());
      },
      ThrowsMessage<LocationError>(HasSubstr("a decoding step reads one token")));
}

TEST_P(GenerateSteps, ASourcesPromptGivesItsStateToEveryStep) {
  IntervenableModel patched = make("vanilla");
  const auto expected = continued(kPrompts, kNew, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size());
    return static_cast<std::int64_t>(row.size()) == prompt
               ? plain(row)
               : from_step(patched, row, prompt, states(kSourcePrompts[r])[1]);
  });
  EXPECT_EQ(ids_of(patched
                       ->generate({.base = prompts_of(kPrompts),
                                   .sources = {prompts_of(kSourcePrompts)},
                                   .locations = from(at(1), last()),
                                   .generation = Generation{.when = When::decode()}},
                                  greedy())
                       .intervened),
            expected);
  // In the prompt, the last step of one is that of the other.
  const auto swapped = continued(kPrompts, kNew, [&](std::size_t r, const auto& row) {
    return patched
        ->forward({.base = row_of(row),
                   .locations = at(static_cast<std::int64_t>(kPrompts[r].size()) - 1),
                   .source_representations = {states(kSourcePrompts[r])[-1]}})
        .intervened.logits[0][-1];
  });
  EXPECT_EQ(ids_of(patched
                       ->generate(
                           {.base = prompts_of(kPrompts), .sources = {prompts_of(kSourcePrompts)}, .locations = last()},
                           greedy())
                       .intervened),
            swapped);
  EXPECT_THAT(
      [&] {
        patched->generate({.base = prompts_of(kPrompts),
                           .sources = {prompts_of(kSourcePrompts)},
                           .generation = Generation{.when = When::decode()}},
                          greedy());
      },
      ThrowsMessage<PlanError>(HasSubstr("give the source a position")));
}

TEST_P(GenerateSteps, ASourceThatGeneratesTooGivesItsOwnStep) {
  IntervenableModel patched = make("vanilla");
  const auto said = ids_of(generate(*model, prompts_of(kSourcePrompts), greedy()));
  const auto expected = continued(kPrompts, kNew, [&](std::size_t r, const auto& row) {
    const auto prompt = static_cast<std::int64_t>(kPrompts[r].size()), length = static_cast<std::int64_t>(row.size());
    if (length == prompt) return plain(row);
    return from_step(patched, row, prompt,
                     states(said[r]).narrow(0, static_cast<std::int64_t>(kSourcePrompts[r].size()), length - prompt));
  });
  for (const Locations& locations : {Locations{}, Locations(last())}) {
    EXPECT_EQ(ids_of(patched
                         ->generate({.base = prompts_of(kPrompts),
                                     .sources = {prompts_of(kSourcePrompts)},
                                     .locations = locations,
                                     .generation = Generation{When::decode(), SourceSteps::kSame}},
                                    greedy())
                         .intervened),
              expected);
  }
}

TEST_P(GenerateSteps, CollectsTheStatesOfEachPass) {
  const std::vector<std::int64_t> prompt = kPrompts[0];
  IntervenableModel reader = make("collect", 1);
  const GenerateResult result =
      reader->generate({.base = row_of(prompt), .generation = Generation{.when = When::both()}}, greedy());
  const Tensor whole = states(result.intervened.rows[0].ids, 1);
  const auto& steps = result.collected[0].steps;
  ASSERT_EQ(steps.size(), static_cast<std::size_t>(kNew));
  const auto length = static_cast<std::int64_t>(prompt.size());
  EXPECT_TRUE(torch::allclose(steps.at(0)[0], whole.narrow(0, 0, length), 1e-5, 1e-6));
  for (std::int64_t step = 1; step < kNew; ++step) {
    ASSERT_EQ(steps.at(step).sizes(), (std::vector<std::int64_t>{1, 1, 12}));
    EXPECT_TRUE(torch::allclose(steps.at(step)[0][0], whole[length + step - 1], 1e-5, 1e-6)) << step;
  }
  const GenerateResult some = reader->generate({.base = prompts_of(kPrompts), .locations = at({-1, 0})}, greedy());
  ASSERT_EQ(some.collected[0].steps.size(), 1U);
  EXPECT_TRUE(torch::allclose(some.collected[0].steps.at(0)[1][0], states(kPrompts[1], 1)[-1], 1e-5, 1e-6));
}

// A setter that adds the sum of what it has seen: what it carries must not depend on how often the prompt is computed.
TEST_P(GenerateSteps, WhatASetterCarriesGoesFromStepToStep) {
  IntervenableConfig config = IntervenableConfig::parse(R"([{"layer": 0, "component": "cell_output", "unit": "t"}])");
  config.representations[0].intervention = make_lambda([](const Tensor& base, const Tensor&, const Subspace&) {
    std::any& carried = *current_firing().state;
    const Tensor seen = carried.has_value() ? std::any_cast<Tensor>(carried) + base : base;
    carried = seen;
    return base + 0.5 * seen;
  });
  IntervenableModel patched(config, model);
  const auto expected = continued(kPrompts, kNew, [&](std::size_t, const auto& row) {
    return patched->forward({.base = row_of(row)}).intervened.logits[0][-1];
  });
  for (std::size_t row = 0; row < kPrompts.size(); ++row) {
    EXPECT_EQ(
        ids_of(
            patched->generate({.base = row_of(kPrompts[row]), .generation = Generation{.when = When::both()}}, greedy())
                .intervened)[0],
        expected[row]);
  }
}

INSTANTIATE_TEST_SUITE_P(Caches, GenerateSteps, testing::Bool(),
                         [](const auto& info) { return info.param ? "Cached" : "Recomputed"; });

}  // namespace
}  // namespace vene
