// SPDX-License-Identifier: Apache-2.0
#include "vene/train/causal_model.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Value = CausalModel::Value;

const std::vector<Value> kBooleans{{0}, {1}};
const Value kFalse{0}, kTrue{1};

Value both(const std::vector<Value>& parents) {
  return {parents[0][0] * parents[1][0]};
}
Value either(const std::vector<Value>& parents) {
  return {std::max(parents[0][0], parents[1][0])};
}

// c = a and b
CausalModel conjunction() {
  return CausalModel({{"a", kBooleans, {}, {}}, {"b", kBooleans, {}, {}}, {"c", kBooleans, {"a", "b"}, both}});
}
// out = (a and b) or d, with ab between; d a step early
CausalModel nested() {
  return CausalModel({{"out", kBooleans, {"ab", "d"}, either},
                      {"ab", kBooleans, {"a", "b"}, both},
                      {"a", kBooleans, {}, {}},
                      {"b", kBooleans, {}, {}},
                      {"d", kBooleans, {}, {}}});
}

TEST(CausalModelTest, VariablesAreOrderedByStepAndKnowTheirRole) {
  const CausalModel model = nested();
  EXPECT_THAT(model.variables(), ElementsAre("a", "b", "d", "ab", "out"));
  EXPECT_THAT(model.inputs(), ElementsAre("a", "b", "d"));
  EXPECT_THAT(model.hidden(), ElementsAre("ab"));
  EXPECT_THAT(model.outputs(), ElementsAre("out"));
  EXPECT_EQ(model.timestep("ab"), 1);
  EXPECT_EQ(model.timestep("out"), 2);
}

TEST(CausalModelTest, ARunTakesDefaultsAndWhatIsSet) {
  const CausalModel model = conjunction();
  EXPECT_EQ(model.run().at("c"), kFalse);
  EXPECT_EQ(model.run({{"a", kTrue}, {"b", kTrue}}).at("c"), kTrue);
  EXPECT_EQ(model.run({{"a", kTrue}, {"b", kTrue}, {"c", kFalse}}).at("c"), kFalse) << "a set variable stays";
}

TEST(CausalModelTest, AnInterchangePutsASourcesValueIntoTheBase) {
  const CausalModel model = conjunction();
  const CausalModel::Setting base{{"a", kTrue}, {"b", kFalse}}, source{{"a", kFalse}, {"b", kTrue}};
  EXPECT_EQ(model.interchange(base, {{"b", source}}).at("c"), kTrue);
  EXPECT_EQ(model.interchange(base, {{"c", {{"a", kTrue}, {"b", kTrue}}}}).at("c"), kTrue);
}

TEST(CausalModelTest, BalancedInputsGiveEachOutputAboutAsOften) {
  const CausalModel model = conjunction();
  CausalModel::Random random(3);
  int positive = 0;
  for (int i = 0; i < 400; ++i) positive += model.run(model.sample_balanced_input(random)).at("c") == kTrue ? 1 : 0;
  EXPECT_GT(positive, 140);
  EXPECT_LT(positive, 260);
  EXPECT_EQ(model.run(model.sample_balanced_input(random, &kTrue)).at("c"), kTrue);
  EXPECT_EQ(model.run(model.sample_input(random, [](const auto& setting) { return setting.at("c") == kTrue; })).at("a"),
            kTrue);
}

TEST(CausalModelTest, CounterfactualsHaveTheLabelsOfTheirInterchange) {
  const CausalModel model = nested();
  CausalModel::Random random(5), again(5);
  const auto examples = model.counterfactuals(60, 4, random);
  ASSERT_EQ(examples.size(), 60U);
  int changed = 0;
  for (const auto& example : examples) {
    EXPECT_EQ(example.labels.at("out"), model.interchange(example.base, example.sources).at("out"));
    EXPECT_EQ(example.base_labels.at("out"), model.run(example.base).at("out"));
    EXPECT_TRUE(example.sources.contains("ab"));
    changed += example.labels != example.base_labels ? 1 : 0;
  }
  EXPECT_GT(changed, 5);
  EXPECT_EQ(model.counterfactuals(60, 4, again)[59].base, examples[59].base) << "seeded";
  EXPECT_TRUE(
      torch::equal(model.input_tensor({{"a", {1, 2}}, {"b", {3}}, {"d", {4}}}), torch::tensor({1.F, 2.F, 3.F, 4.F})));
}

TEST(CausalModelTest, MalformedModelsAreRefused) {
  auto message = [](std::vector<CausalModel::Variable> variables, const char* text) {
    EXPECT_THAT([&] { const CausalModel model(variables); }, ThrowsMessage<ConfigError>(HasSubstr(text)));
  };
  message({{"a", kBooleans, {}, {}}, {"a", kBooleans, {}, {}}}, "variable 'a' is given twice");
  message({{"alpha", kBooleans, {}, {}}, {"b", kBooleans, {"alpa"}, both}},
          "variable 'b' has the unknown parent 'alpa'; did you mean 'alpha'");
  message({{"a", kBooleans, {"b"}, both}, {"b", kBooleans, {"a"}, both}}, "go round in a circle");
  message({{"a", {}, {}, {}}}, "variable 'a' has no values");
  message({{"a", kBooleans, {}, {}}, {"b", kBooleans, {"a"}, {}}}, "variable 'b' has parents, but no function of them");
  EXPECT_THAT([] { conjunction().run({{"e", kTrue}}); }, ThrowsMessage<ConfigError>(HasSubstr("no variable 'e'")));
  EXPECT_THAT(
      [] {
        CausalModel::Random random(1);
        conjunction().sample_intervention(random);
      },
      ThrowsMessage<PlanError>(HasSubstr("no variable between inputs and outputs")));
}

}  // namespace
}  // namespace vene
