// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "vene/base/error.h"
#include "vene/config/intervenable_config.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::string representation(const std::string& when) {
  return R"([{"layer": 1, "intervention_type": "zero", "when": )" + when + "}]";
}

TEST(When, NamesStepsAndSpansSayWhichPasses) {
  EXPECT_TRUE(When::prompt().acts(0));
  EXPECT_FALSE(When::prompt().acts(1));
  EXPECT_FALSE(When::decode().acts(0));
  EXPECT_TRUE(When::decode().acts(1000));
  EXPECT_EQ(When::prompt() + When::decode(), When::both());
  EXPECT_EQ(When::steps({3, 1, 2}), When::steps(1, 4));
  EXPECT_FALSE(When::steps({1, 3}).acts(2));
  EXPECT_TRUE(When::from(4).acts(4));
  EXPECT_FALSE(When::from(4).acts(3));
  EXPECT_FALSE(When::prompt().decodes());
  EXPECT_TRUE(When::steps({0, 2}).decodes());
  EXPECT_EQ((When::steps({1}) + When::from(4)).text(), "steps 1, 4 and on");
}

TEST(When, GoesThroughTheConfigsJson) {
  for (const auto& [json, when] : std::vector<std::pair<std::string, When>>{
           {R"("prompt")", When::prompt()},
           {R"("decode")", When::decode()},
           {R"("both")", When::both()},
           {R"({"steps": [0, 2, {"span": [5, 8]}]})", When::steps({0, 2, 5, 6, 7})},
           {R"({"steps": [{"span": [3, null]}]})", When::from(3)}}) {
    const IntervenableConfig config = IntervenableConfig::parse(representation(json));
    EXPECT_EQ(config.representations[0].when, when) << json;
    EXPECT_EQ(IntervenableConfig::parse(config.to_json()), config) << json;
  }
  EXPECT_FALSE(IntervenableConfig::parse(representation("null")).representations[0].when.has_value());
}

TEST(When, SaysWhatIsWrong) {
  const auto message = [](const std::string& when, const std::string& part) {
    EXPECT_THAT([&] { IntervenableConfig::parse(representation(when)); },
                ThrowsMessage<ConfigError>(HasSubstr("representations[0].when" + part)))
        << when;
  };
  message(R"("promt")", ": unknown time 'promt'; did you mean 'prompt'?");
  message("3", ": expected \"prompt\", \"decode\", \"both\" or {\"steps\": [...]}, got 3");
  message(R"({"steps": []})", ".steps: expected a list of steps");
  message(R"({"steps": [-1]})", ".steps[0]: expected a step, an integer of at least 0, got -1");
  message(R"({"steps": [{"span": [4, 4]}]})", ".steps[0].span: expected begin < end");
  EXPECT_THAT([] { When::steps(std::vector<std::int64_t>{}); },
              ThrowsMessage<ConfigError>(HasSubstr("at least one step")));
  EXPECT_THAT([] { When::steps(5, 5); }, ThrowsMessage<ConfigError>(HasSubstr("steps 5 to 5 (exclusive) are none")));
}

}  // namespace
}  // namespace vene
