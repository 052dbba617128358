// SPDX-License-Identifier: Apache-2.0
// Causal traces of many prompts, averaged by classes of positions.
#include "vene/sweep/average_trace.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "tests/test_folder.h"
#include "vene/base/error.h"
#include "vene/models/load.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class AverageTraces : public testing::Test {
 protected:
  AverageTraces() {
    options_.trace.samples = 2;
    options_.bootstrap = 50;
  }
  static const models::LanguageModel& model() {
    static const auto kModel = models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
    return kModel;
  }
  CausalTrace alone(const TracePrompt& prompt) const {
    CausalTraceOptions options = options_.trace;
    options.subject = prompt.subject;
    options.target = prompt.target;
    return causal_trace(model(), prompt.prompt, options);
  }
  // Subjects of one token, of several, at the end of the prompt, and with one token behind.
  std::vector<TracePrompt> prompts_{{"The Space Needle is in downtown", "The Space Needle", " Seattle", {}, {}},
                                    {"Graceland is in downtown", "Graceland", {}, {}, {}},
                                    {"They went to the Space Needle", "Space Needle", {}, {}, {}},
                                    {"The Ponte Vecchio is", "The Ponte Vecchio", {}, {}, {}}};
  AverageTraceOptions options_;
};

TEST_F(AverageTraces, AreTheMeansOfEachPromptsOwnClasses) {
  const AverageTrace average = average_trace(model(), prompts_, options_);
  ASSERT_EQ(average.prompts.size(), 4U);
  ASSERT_EQ(average.streams.size(), 3U);
  const auto classes = static_cast<std::int64_t>(trace_classes().size());
  for (std::size_t s = 0; s < 3; ++s) {
    // By hand, cell by cell.
    for (std::int64_t layer = 0; layer < model().model->layer_count(); ++layer) {
      for (std::int64_t c = 0; c < classes; ++c) {
        double effect = 0, probability = 0, low = 1e9, high = -1e9;
        std::int64_t count = 0;
        for (const TracePrompt& prompt : prompts_) {
          const CausalTrace own = alone(prompt);
          const std::int64_t tokens = static_cast<std::int64_t>(own.tokens.size()),
                             begin = own.subject_positions.front(), last = own.subject_positions.back();
          std::vector<std::int64_t> at;
          if (c == 0) at = {begin};
          if (c == 2) at = {last};
          if (c == 3 && last + 1 < tokens) at = {last + 1};
          if (c == 5) at = {tokens - 1};
          for (std::int64_t p = begin + 1; c == 1 && p < last; ++p) at.push_back(p);
          for (std::int64_t p = last + 2; c == 4 && p < tokens - 1; ++p) at.push_back(p);
          if (at.empty()) continue;
          double mean = 0;
          for (const std::int64_t p : at)
            mean += own.streams[s].probability[layer][p].item<double>() / static_cast<double>(at.size());
          ++count;
          probability += mean;
          effect += mean - own.corrupted;
          low = std::min(low, mean - own.corrupted);
          high = std::max(high, mean - own.corrupted);
        }
        EXPECT_EQ(average.counts[static_cast<std::size_t>(c)], count) << c;
        const auto got = [&](const torch::Tensor& values) { return values[layer][c].item<double>(); };
        const AverageTrace::Stream& stream = average.streams[s];
        const auto n = static_cast<double>(count);
        EXPECT_NEAR(got(stream.probability), probability / n, 1e-9);
        EXPECT_NEAR(got(stream.effect), effect / n, 1e-9);
        EXPECT_LE(got(stream.low), got(stream.effect) + 1e-12);
        EXPECT_GE(got(stream.high), got(stream.effect) - 1e-12);
        EXPECT_GE(got(stream.low), low - 1e-12);
        EXPECT_LE(got(stream.high), high + 1e-12);
      }
      if (layer == 1) layer = model().model->layer_count() - 2;  // some layers do
    }
  }
  EXPECT_THAT(average.counts, ElementsAre(4, 3, 4, 3, 2, 4));
}

TEST_F(AverageTraces, TheSameSeedDrawsTheSameIntervals) {
  const std::vector<TracePrompt> some(prompts_.begin(), prompts_.begin() + 2);
  const AverageTrace one = average_trace(model(), some, options_), two = average_trace(model(), some, options_);
  EXPECT_EQ(average_trace_csv(one), average_trace_csv(two));
  EXPECT_EQ(average_trace_json(one), average_trace_json(two));
}

TEST_F(AverageTraces, TablesHaveEveryCellAndEveryPrompt) {
  const AverageTrace average = average_trace(model(), {prompts_[2]}, options_);
  const std::string csv = average_trace_csv(average);
  EXPECT_THAT(csv,
              HasSubstr("stream,layer,position,prompts,probability,effect,low,high\nblock_output,0,first subject"));
  EXPECT_THAT(csv, HasSubstr("\nmlp_activation,5,further tokens,0,,,,\n"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 3 * 6 * 6);
  const auto json = nlohmann::json::parse(average_trace_json(average));
  EXPECT_EQ(json["prompts"][0], nlohmann::json::parse(trace_json(average.prompts[0]))
                                    .patch(nlohmann::json::parse(R"([{"op": "remove", "path": "/vene_version"}])")));
  EXPECT_TRUE(json["streams"][0]["effect"][0][4].is_null());
  EXPECT_EQ(json["positions"][5], "last token");
}

TEST_F(AverageTraces, AreRefusedBeforeTheFirstIsTraced) {
  bool begun = false;
  options_.progress = [&](std::size_t, std::size_t) { return begun = true; };
  const auto refused = [&](const std::vector<TracePrompt>& prompts, const std::string& why) {
    EXPECT_THAT([&] { average_trace(model(), prompts, options_); }, ThrowsMessage<ConfigError>(HasSubstr(why)));
  };
  refused({}, "prompts: expected at least one");
  refused({prompts_[0], {"The Space Needle", "Eiffel Tower", {}, {}, {}}},
          "prompts[1]: subject: 'Eiffel Tower' is not in");
  refused({prompts_[0], {"The Space Needle", "Eiffel Tower", {}, {}, "a.jsonl line 7"}}, "a.jsonl line 7: subject: ");
  refused({{"The Space Needle is", "Needle", std::string("x"), {}, {}}, {"The", "The", {}, {}, {}}},
          "prompts[1]: subject: it covers the whole prompt");
  options_.bootstrap = 0;
  refused(prompts_, "bootstrap: expected at least 1, got 0");
  EXPECT_FALSE(begun);
  options_.bootstrap = 1;
  options_.progress = [](std::size_t, std::size_t) { return false; };
  EXPECT_THAT([&] { average_trace(model(), prompts_, options_); }, ThrowsMessage<PlanError>(HasSubstr("cancelled")));
}

TEST_F(AverageTraces, PromptsComeFromAFile) {
  const vene_test::TestFolder folder;
  const auto prompts = load_trace_prompts(
      folder.write("a.jsonl",
                   "{\"prompt\": \"The Space Needle\", \"subject\": \"Needle\"}\n\n"
                   "{\"prompt\": \"a b a\", \"subject\": \"a\", \"target\": \" c\", \"occurrence\": -1}\r\n"));
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[1].target, " c");
  EXPECT_EQ(prompts[1].occurrence, -1);
  EXPECT_THAT(prompts[1].where, testing::EndsWith("a.jsonl line 3"));
  const auto refused = [&](const std::string& text, const std::string& why) {
    EXPECT_THAT([&] { load_trace_prompts(folder.write("b.jsonl", text)); }, ThrowsMessage<ConfigError>(HasSubstr(why)));
  };
  refused("", "b.jsonl: expected one prompt a line, got none");
  refused("{\"prompt\": \"a\", \"subject\": \"a\"}\n{\"prompt\": \"a\"}",
          "b.jsonl line 2: the line: 'subject' is missing");
  refused("{\"prompt\": \"a\", \"subjct\": \"a\"}", "unknown key 'subjct'; did you mean 'subject'?");
  refused("{\"prompt\"", "b.jsonl line 1: ");
}

}  // namespace
}  // namespace vene
