// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/registry.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"
#include "vene/interventions/numpy_random.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::ThrowsMessage;
using torch::Tensor;

std::shared_ptr<Intervention> build(const std::string& name, OptionValues options = {}) {
  const InterventionInfo& info = InterventionRegistry::standard().at(name);
  InterventionSettings settings;
  settings.options = std::move(options);
  for (const OptionInfo& option : info.options) {
    if (!settings.options.contains(option.name)) settings.options[option.name] = *option.default_value;
  }
  return info.build(settings);
}

TEST(RegistryTest, BuiltInsAnswerToTheirPyveneNames) {
  EXPECT_THAT(InterventionRegistry::standard().names(),
              IsSupersetOf({"vanilla", "addition", "subtraction", "zero", "collect", "skip", "noise"}));
  EXPECT_EQ(InterventionRegistry::standard().at("VanillaIntervention").name, "vanilla");
  EXPECT_EQ(InterventionRegistry::standard().at("<class 'pyvene.models.interventions.NoiseIntervention'>").name,
            "noise");
}

TEST(RegistryTest, UnknownNamesGetTheNearest) {
  EXPECT_THAT([] { InterventionRegistry::standard().at("vanila"); },
              ThrowsMessage<ConfigError>(HasSubstr("unknown intervention type 'vanila'; did you mean 'vanilla'?")));
}

TEST(RegistryTest, TakenNamesAndReservedOptionsAreRefused) {
  InterventionRegistry registry;
  register_builtin_interventions(registry);
  const auto build_nothing = [](const InterventionSettings&) -> std::shared_ptr<Intervention> { return nullptr; };
  EXPECT_THAT(
      [&] {
        registry.add({"zero", "", {}, build_nothing, {}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("'zero' is registered already")));
  EXPECT_THAT(
      [&] {
        registry.add({"other", "", {}, build_nothing, {"ZeroIntervention"}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("'ZeroIntervention' is registered already")));
  EXPECT_THAT(
      [&] {
        registry.add({"other", "", {{"layer", OptionType::kNumber, std::nullopt, ""}}, build_nothing, {}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("option 'layer' is named like a field")));
  EXPECT_THAT(
      [&] {
        registry.add({"", "", {}, build_nothing, {}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("needs a name")));
}

TEST(BuiltInTest, EachDoesWhatItsNameSays) {
  const Tensor base = torch::randn({2, 3, 4});
  const Tensor source = torch::randn({2, 3, 4});
  EXPECT_TRUE(torch::equal(build("vanilla")->forward(base, source, {}), source));
  EXPECT_TRUE(torch::equal(build("addition")->forward(base, source, {}), base + source));
  EXPECT_TRUE(torch::equal(build("subtraction")->forward(base, source, {}), base - source));
  EXPECT_TRUE(torch::equal(build("zero")->forward(base, {}, {}), torch::zeros_like(base)));
  EXPECT_TRUE(torch::equal(build("collect")->forward(base, {}, {}), base));
  EXPECT_TRUE(torch::equal(build("skip")->forward(base, source, {}), source));
  EXPECT_TRUE(build("skip")->traits().source_is_module_input);
  EXPECT_TRUE(build("collect")->traits().collects);
}

TEST(BuiltInTest, NoiseIsNumpysDrawTheSameInEveryRow) {
  const Tensor base = torch::zeros({2, 4, 16});
  const Tensor noised = build("noise")->forward(base, {}, {});
  EXPECT_TRUE(torch::equal(noised[0], noised[1]));
  // The first values of RandomState(1).randn, as numpy prints them.
  const double level = 0.13462981581687927;
  EXPECT_NEAR(noised[0][0][0].item<double>(), 1.6243453636632417 * level, 1e-7);
  EXPECT_NEAR(noised[0][0][1].item<double>(), -0.6117564136500754 * level, 1e-7);
  EXPECT_NEAR(noised[0][0][2].item<double>(), -0.5281717522634557 * level, 1e-7);
  EXPECT_NEAR(noised[0][0][3].item<double>(), -1.0729686221561705 * level, 1e-7);
  EXPECT_FALSE(torch::equal(build("noise", {{"seed", std::int64_t{2}}})->forward(base, {}, {}), noised));
  EXPECT_THAT(
      [] {
        build("noise", {{"seed", std::int64_t{-1}}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("seed is -1")));
}

TEST(NumpyRandomTest, ContinuesItsStream) {
  NumpyRandomState state(1);
  const Tensor first = state.randn({3});
  const Tensor rest = state.randn({5});
  EXPECT_TRUE(torch::equal(torch::cat({first, rest}), numpy_randn(1, {8})));
  EXPECT_EQ(numpy_randn(1, {2})[0].item<double>(), 1.6243453636632417);
  EXPECT_EQ(numpy_randn(42, {2})[0].item<double>(), 0.4967141530112327);
  EXPECT_EQ(numpy_randn(0, {2})[0].item<double>(), 1.764052345967664);
}

TEST(LambdaTest, AFunctionIsNeeded) {
  EXPECT_THAT([] { make_lambda(nullptr); }, ThrowsMessage<ConfigError>(HasSubstr("needs a function")));
}

}  // namespace
}  // namespace vene
