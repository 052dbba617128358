// SPDX-License-Identifier: Apache-2.0
// Sources whose rows have lengths of their own: each row of a batch gets what it gets alone, or is refused as it is
// alone.
#include "tests/unit/core/generate_helpers.h"
#include "vene/models/gru.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using namespace vene_test;

const std::vector<std::vector<std::int64_t>> kBases = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};
const std::vector<std::vector<std::int64_t>> kSameLengths = {{7, 7, 19, 4, 2, 11}, {33, 4, 2}, {21, 11, 40, 3}};
const std::vector<std::vector<std::int64_t>> kOthers = {{7, 7, 19, 4, 2, 11}, {33, 4}, {21, 11, 40, 3}};

class RaggedSources : public testing::Test {
 protected:
  std::shared_ptr<models::GPT2> model = small_gpt2();
  IntervenableModel swap =
      IntervenableModel(IntervenableConfig::parse(R"([{"layer": 1, "component": "block_output"}])"), model);

  Tensor logits(const models::Batch& base, const models::Batch& source, const Locations& locations) {
    return swap->forward({.base = base, .sources = {source}, .locations = locations}).intervened.logits;
  }
  // Each row's logits, its padding left out, are those of the row run alone with its own entry of the locations.
  void expect_rows_alone(const std::vector<std::vector<std::int64_t>>& sources, const Locations& together,
                         const std::function<Locations(std::size_t)>& alone) {
    for (const bool base_left : {false, true}) {
      for (const bool source_left : {false, true}) {
        const Tensor all = logits(padded(kBases, base_left), padded(sources, source_left), together);
        for (std::size_t row = 0; row < kBases.size(); ++row) {
          const auto length = static_cast<std::int64_t>(kBases[row].size());
          const Tensor own =
              all[static_cast<std::int64_t>(row)].narrow(0, base_left ? all.size(1) - length : 0, length);
          EXPECT_LE(relative_error(own, logits(row_of(kBases[row]), row_of(sources[row]), alone(row))[0]), 1e-5)
              << row << base_left << source_left;
        }
      }
    }
  }
};

TEST_F(RaggedSources, WithoutLocationsEachPositionGoesIntoItsOwn) {
  expect_rows_alone(kSameLengths, {}, [](std::size_t) { return Locations{}; });
  EXPECT_THAT(
      [&] { logits(padded(kBases, false), padded(kOthers, false), {}); },
      ThrowsMessage<LocationError>(HasSubstr(
          "row 1: the source has 2 positions, what it writes into has 3; name the positions (unit_locations)")));
  EXPECT_THAT([&] { logits(padded(kBases, false), padded(kOthers, false), all()); },
              ThrowsMessage<LocationError>(
                  HasSubstr("row 1: 2 source units for 3 base units; expected as many, or one for all")));
}

TEST_F(RaggedSources, AListOfOneServesAllAndOthersMustFit) {
  const auto lists = [](const char* source, const char* base) {
    return Locations::parse(std::string(R"({"sources->base": [[)") + source + "], [" + base + "]]}");
  };
  const std::vector<std::string> from{"[1, 2]", "[1]", "[3, 0]"}, to{"[3, 4]", "[0, 2]", "[1, 2]"};
  expect_rows_alone(kSameLengths, lists("[[1, 2], [1], [3, 0]]", "[[3, 4], [0, 2], [1, 2]]"), [&](std::size_t row) {
    return lists(("[" + from[row] + "]").c_str(), ("[" + to[row] + "]").c_str());
  });
  const auto refused = [&](const char* source, const char* base, const char* text) {
    EXPECT_THAT([&] { logits(padded(kBases, false), padded(kSameLengths, false), lists(source, base)); },
                ThrowsMessage<LocationError>(HasSubstr(text)));
  };
  refused("[[1, 2], [1, 2], [1, 2]]", "[[3, 4], [0], [1, 2]]",
          "row 1: 2 source units for 1 base units; expected as many, or one for all");
  refused("[[1, 2], [1, 2], []]", "[[3, 4], [0, 1], [1, 2]]", "row 2: 0 source units for 2 base units");
}

TEST_F(RaggedSources, APromptsRowSaysInABatchWhatItSaysAlone) {
  const GenerateOptions options{.max_new_tokens = 5};
  for (const bool left : {false, true}) {
    const auto together = ids_of(swap->generate({.base = padded(kBases, left),
                                                 .sources = {padded(kSameLengths, !left)},
                                                 .generation = Generation{.when = When::prompt()}},
                                                options)
                                     .intervened);
    for (std::size_t row = 0; row < kBases.size(); ++row) {
      const auto alone = ids_of(swap->generate({.base = row_of(kBases[row]),
                                                .sources = {row_of(kSameLengths[row])},
                                                .generation = Generation{.when = When::prompt()}},
                                               options)
                                    .intervened);
      EXPECT_EQ(together[row], alone[0]) << row << left;
    }
  }
}

TEST_F(RaggedSources, CollectingWithoutLocationsLeavesThePaddingOut) {
  IntervenableModel reader(
      IntervenableConfig::parse(R"([{"layer": 1, "component": "block_output", "intervention_type": "collect"}])"),
      model);
  const auto collected =
      reader
          ->generate({.base = padded(kBases, true), .generation = Generation{.when = When::prompt()}},
                     {.max_new_tokens = 1})
          .collected[0];
  ASSERT_TRUE(collected.valid.defined());
  for (std::size_t row = 0; row < kBases.size(); ++row) {
    const auto at = static_cast<std::int64_t>(row), length = static_cast<std::int64_t>(kBases[row].size());
    EXPECT_EQ(collected.valid[at].sum().item<std::int64_t>(), length);
    const Tensor alone = reader->forward({.base = row_of(kBases[row])}).collected[0].value[0];
    EXPECT_LE(relative_error(collected.steps.at(0)[at].narrow(0, 0, length), alone), 1e-5);
  }
}

TEST(RaggedSteps, ARecurrentRowGetsItsOwnSteps) {
  torch::manual_seed(5);
  const auto model = std::make_shared<models::GRU>(models::GRUOptions{.h_dim = 12,
                                                                      .n_layer = 1,
                                                                      .include_emb = true,
                                                                      .vocab_size = 60,
                                                                      .max_position_embeddings = 32,
                                                                      .head = models::GRUHead::kLanguageModel});
  IntervenableModel swap(
      IntervenableConfig::parse(
          R"([{"component": "cell_output", "unit": "t"}, {"component": "cell_output", "unit": "t", "intervention_type": "collect"}])"),
      model);
  const auto run = [&](const models::Batch& base, const models::Batch& source) {
    return swap->forward({.base = base, .sources = {source, std::nullopt}});
  };
  const torch::NoGradGuard no_grad;
  for (const bool left : {false, true}) {
    const Result together = run(padded(kBases, left), padded(kSameLengths, !left));
    for (std::size_t row = 0; row < kBases.size(); ++row) {
      const auto at = static_cast<std::int64_t>(row), length = static_cast<std::int64_t>(kBases[row].size());
      const Result alone = run(row_of(kBases[row]), row_of(kSameLengths[row]));
      const Tensor own = together.intervened.logits[at].narrow(0, left ? 6 - length : 0, length);
      EXPECT_LE(relative_error(own, alone.intervened.logits[0]), 1e-5) << row << left;
      EXPECT_EQ(together.collected[0].valid[at].sum().item<std::int64_t>(), length);
      EXPECT_LE(relative_error(together.collected[0].value[at].narrow(0, 0, length), alone.collected[0].value[0]), 1e-5)
          << row << left;
    }
  }
  EXPECT_THAT([&] { run(padded(kBases, false), padded(kOthers, false)); },
              ThrowsMessage<LocationError>(HasSubstr("row 1: the source has 2 positions, what it writes into has 3")));
}

}  // namespace
}  // namespace vene
