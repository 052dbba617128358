// SPDX-License-Identifier: Apache-2.0
// `vene run --top --probability`: what an intervention did to the prediction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "unit/cli/child.h"

namespace vene_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;

class Prediction : public testing::Test {
 protected:
  Outcome run(const Json& experiment, const std::vector<std::string>& more,
              const std::string& model = bundled_model()) {
    write_text(folder_ / "one.json", experiment.dump());
    std::vector<std::string> arguments{"run", "-m", model, folder_ / "one.json", "-o", folder_ / "out"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vene_command(arguments);
  }
  Json predictions(const Json& experiment, std::vector<std::string> more) {
    more.emplace_back("--json");
    const Outcome outcome = run(experiment, more);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out)[0]["predictions"] : Json();
  }
  static Json interchange(const Json& base, const Json& source) {
    return {{"config", {{{"layer", 4}, {"component", "block_output"}}}},
            {"base", {{"text", base}}},
            {"sources", {{{"text", source}}}},
            {"unit_locations", {{"sources->base", "last"}}}};
  }
  TestFolder folder_;
};

const std::string kNeedle = "The Space Needle is in downtown", kColosseum = "The Colosseum is in downtown";

TEST_F(Prediction, OriginalStandsBesideIntervened) {
  const Json rows = predictions(interchange(kNeedle, kColosseum),
                                {"--top", "3", "--probability", " Rome", "--probability", " Seattle"});
  ASSERT_EQ(rows.size(), 1U);
  ASSERT_EQ(rows[0]["top"].size(), 3U);
  const Json& first = rows[0]["top"][0];
  EXPECT_EQ(first["original"]["token"], " Seattle");
  EXPECT_NEAR(first["original"]["probability"].get<double>(), 0.999098, 1e-4);
  EXPECT_EQ(first["intervened"]["token"], " Rome");
  EXPECT_NEAR(first["intervened"]["probability"].get<double>(), 0.993114, 1e-4);
  EXPECT_GE(rows[0]["top"][1]["intervened"]["probability"], rows[0]["top"][2]["intervened"]["probability"]);
  const Json& rome = rows[0]["probabilities"][0];
  EXPECT_EQ(rome["token"], " Rome");
  EXPECT_EQ(rome["id"], first["intervened"]["id"]);
  EXPECT_EQ(rome["intervened"], first["intervened"]["probability"]);
  EXPECT_LT(rome["original"].get<double>(), 1e-3);
  EXPECT_EQ(rows[0]["probabilities"][1]["original"], first["original"]["probability"]);
}

TEST_F(Prediction, PeopleGetATable) {
  const Outcome outcome = run(interchange(kNeedle, kColosseum), {"--top", "2", "--probability", " Rome"});
  EXPECT_EQ(outcome.status, 0);
  const auto lines = lines_of(outcome.out);
  ASSERT_EQ(lines.size(), 5U) << outcome.out;
  EXPECT_EQ(lines[1], "  original                intervened");
  EXPECT_THAT(lines[2], testing::MatchesRegex("  0\\.9991     \" Seattle\"   0\\.9931     \" Rome\""));
  EXPECT_THAT(lines[4], testing::MatchesRegex("  P\\(\" Rome\"\\): .* -> 0\\.9931"));
  const Outcome quiet = run(interchange(kNeedle, kColosseum), {"--top", "1", "--quiet"});
  EXPECT_EQ(lines_of(quiet.out).size(), 2U) << quiet.out;
}

// Rows of unequal length are padded: each looks at the end of its own text.
TEST_F(Prediction, EachRowLooksAtItsOwnText) {
  const std::string longer = "The Space Needle was built long ago, and it is in downtown";
  const Json both = predictions(interchange({kNeedle, longer}, {kColosseum, kColosseum}), {"--top", "2"});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_LT(both[0]["position"], both[1]["position"]);
  for (const std::size_t row : {0U, 1U}) {
    const Json alone = predictions(interchange(row == 0 ? kNeedle : longer, kColosseum), {"--top", "2"});
    EXPECT_EQ(alone[0]["position"], both[row]["position"]);
    for (const char* run : {"original", "intervened"}) {
      EXPECT_EQ(alone[0]["top"][0][run]["token"], both[row]["top"][0][run]["token"]);
      EXPECT_NEAR(alone[0]["top"][0][run]["probability"].get<double>(),
                  both[row]["top"][0][run]["probability"].get<double>(), 1e-5);
    }
  }
  const Outcome outcome = run(interchange({kNeedle, longer}, {kColosseum, kColosseum}), {"--top", "1"});
  EXPECT_THAT(outcome.out, HasSubstr("\n  row 0\n    original"));
  EXPECT_THAT(outcome.out, HasSubstr("\n  row 1\n    original"));
}

TEST_F(Prediction, AnotherPositionMayBeLookedAt) {
  const Json last = predictions(interchange(kNeedle, kColosseum), {"--top", "1", "--position", "-1"}),
             fifth = predictions(interchange(kNeedle, kColosseum), {"--top", "1", "--position", "4"}),
             end = predictions(interchange(kNeedle, kColosseum), {"--top", "1", "--position", "5"});
  EXPECT_EQ(last, end);
  // The last position alone is written to, and what comes before does not see it.
  EXPECT_EQ(fifth[0]["top"][0]["original"], fifth[0]["top"][0]["intervened"]);
  EXPECT_EQ(fifth[0]["position"], 4);
  const Outcome beyond = run(interchange(kNeedle, kColosseum), {"--top", "1", "--position", "6"});
  EXPECT_EQ(beyond.status, 1);
  EXPECT_THAT(beyond.err, HasSubstr("--position 6 is not in row 0 of the base, which has 6 tokens"));
}

TEST_F(Prediction, WithoutAnOriginalRunThereIsOneColumn) {
  Json experiment = interchange(kNeedle, kColosseum);
  experiment["output_original_output"] = false;
  const Json rows = predictions(experiment, {"--top", "1", "--probability", " Rome"});
  EXPECT_FALSE(rows[0]["top"][0].contains("original"));
  EXPECT_FALSE(rows[0]["probabilities"][0].contains("original"));
  EXPECT_THAT(run(experiment, {"--probability", " Rome"}).out, testing::EndsWith("\n  P(\" Rome\"): 0.9931\n"));
}

TEST_F(Prediction, WhatCannotBeAnsweredIsRefusedBeforeAnythingIsWritten) {
  const auto refused = [&](const Json& experiment, const std::vector<std::string>& more, const std::string& what,
                           const std::string& model = bundled_model()) {
    const Outcome outcome = run(experiment, more, model);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_THAT(outcome.err, HasSubstr(what));
    EXPECT_THAT(names_below(folder_ / "out"), IsEmpty());
  };
  refused(interchange(kNeedle, kColosseum), {"--probability", " Rome is"},
          "--probability: expected one token, and ' Rome is' is 2 tokens here: ' Rome', ' is'");
  refused(interchange(kNeedle, kColosseum), {"--probability", ""}, "expected one token, and '' is 0 tokens here");
  Json experiment = interchange(kNeedle, kColosseum);
  experiment["generate"] = {{"max_new_tokens", 2}};
  refused(experiment, {"--top", "1"}, "--top and --probability look at one run, and this experiment generates");
  experiment = {{"config", {{{"layer", 1}, {"intervention_type", "collect"}}}},
                {"base", {{"text", kNeedle}}},
                {"collect_only", true}};
  refused(experiment, {"--top", "1"}, "--top and --probability ask for logits, and this experiment gives none");
  experiment = {{"config", {{{"layer", 1}, {"intervention_type", "zero"}}}}, {"base", {{"input_ids", {{1, 2, 3}}}}}};
  refused(experiment, {"--probability", " Rome"},
          "--probability: this model has no tokenizer, so no token is called ' Rome'",
          source_path("tests/golden/models/gpt2_tied"));
  refused(interchange(kNeedle, kColosseum), {"--position", "2"},
          "--position: nothing looks at a position; give --top or --probability");
  refused(interchange(kNeedle, kColosseum), {"--plan", "--top", "2"},
          "--top and --probability look at a run, and --plan runs nothing");
  EXPECT_EQ(run(interchange(kNeedle, kColosseum), {"--top", "0"}).status, 2);
}

}  // namespace
}  // namespace vene_test
