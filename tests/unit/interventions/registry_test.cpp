// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/registry.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/gradcheck.h"
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

TEST(BuiltInTest, ScaleClampAndSetTakeANumberOrOneAColumn) {
  const Tensor base = torch::randn({2, 3, 4}), columns = torch::tensor({0.5F, -1.0F, 0.0F, 2.0F});
  const Tensor two = torch::tensor(2.0F), low = torch::tensor(-0.25F), high = torch::tensor({0.1F, 0.2F, 0.3F, 0.4F});
  EXPECT_TRUE(torch::equal(build("scale", {{"factor", two}})->forward(base, {}, {}), base * 2));
  EXPECT_TRUE(torch::equal(build("scale", {{"factor", columns}})->forward(base, {}, {}), base * columns));
  EXPECT_TRUE(torch::equal(build("set", {{"value", two}})->forward(base, {}, {}), torch::full_like(base, 2)));
  EXPECT_TRUE(torch::equal(build("set", {{"value", columns}})->forward(base, {}, {}), columns.expand({2, 3, 4})));
  EXPECT_TRUE(torch::equal(build("clamp", {{"minimum", low}})->forward(base, {}, {}), base.clamp_min(-0.25)));
  EXPECT_TRUE(torch::equal(build("clamp", {{"minimum", low}, {"maximum", high}})->forward(base, {}, {}),
                           torch::minimum(base.clamp_min(-0.25), high)));
  // Clamping twice is clamping once; what is within the bounds stays to the bit.
  const auto clamp = build("clamp", {{"minimum", low}, {"maximum", high}});
  const Tensor once = clamp->forward(base, {}, {});
  EXPECT_TRUE(torch::equal(clamp->forward(once, {}, {}), once));
  for (const char* name : {"scale", "clamp", "set"})
    EXPECT_FALSE(build(name, {{"factor", two}, {"maximum", two}, {"value", two}})->traits().needs_source);
}

TEST(BuiltInTest, ScaleClampAndSetLeaveOtherColumnsAlone) {
  const Tensor base = torch::randn({3, 2, 6});
  const Subspace per_row = compile_subspace({{{0, 5}, {}, {1, 2, 3}}}, {}, 6, 3, torch::kCPU, "here");
  const OptionValues options{
      {"factor", torch::tensor(3.0F)}, {"maximum", torch::tensor(-9.0F)}, {"value", torch::tensor(7.0F)}};
  for (const char* name : {"scale", "clamp", "set"}) {
    const auto intervention = build(name, options);
    const Tensor whole = intervention->forward(base, {}, {}), some = intervention->forward(base, {}, per_row);
    EXPECT_TRUE(torch::equal(some[1], base[1])) << name;
    EXPECT_TRUE(torch::equal(some[0].narrow(1, 1, 4), base[0].narrow(1, 1, 4))) << name;
    EXPECT_TRUE(torch::equal(some[2].narrow(1, 1, 3), whole[2].narrow(1, 1, 3))) << name;
    intervention->interchange_dim = 2;
    const Tensor leading = intervention->forward(base, {}, {});
    EXPECT_TRUE(torch::equal(leading.narrow(2, 0, 2), whole.narrow(2, 0, 2))) << name;
    EXPECT_TRUE(torch::equal(leading.narrow(2, 2, 4), base.narrow(2, 2, 4))) << name;
    EXPECT_EQ(intervention->forward(base.to(torch::kBFloat16), {}, {}).scalar_type(), torch::kBFloat16) << name;
  }
}

TEST(BuiltInTest, GradientsOfScaleClampAndSetPassGradcheck) {
  const OptionValues options{{"factor", torch::tensor({0.5F, -1.5F, 3.0F})},
                             {"minimum", torch::tensor(-0.4F)},
                             {"maximum", torch::tensor({0.1F, 0.5F, 0.9F})},
                             {"value", torch::tensor(0.7F)}};
  for (const char* name : {"scale", "clamp", "set"}) {
    SCOPED_TRACE(name);
    Tensor base = torch::randn({2, 2, 3}, torch::kFloat64).set_requires_grad(true);
    const auto intervention = build(name, options);
    const Subspace subspace = compile_subspace({{{0, 2}, {1}}}, {}, 3, 2, torch::kCPU, "here");
    for (const Subspace& some : {Subspace{}, subspace})
      vene_test::gradcheck({base}, [&] { return (intervention->forward(base, {}, some) + base * 0.1).pow(3).sum(); });
  }
}

TEST(BuiltInTest, OptionsThatDoNotFitAreRefused) {
  const auto refused = [](const std::string& name, const OptionValues& options, const std::string& why) {
    EXPECT_THAT([&] { build(name, options); }, ThrowsMessage<ConfigError>(HasSubstr(why)));
  };
  refused("clamp", {}, "clamp needs minimum, maximum, or both");
  refused("clamp", {{"minimum", torch::tensor(2.0F)}, {"maximum", torch::tensor(1.0F)}}, "minimum is above maximum");
  refused("clamp", {{"minimum", torch::zeros({3})}, {"maximum", torch::ones({2})}}, "minimum has 3 numbers, maximum 2");
  refused("set", {{"value", torch::zeros({2, 3})}}, "value has shape [2, 3], expected a number or a number a column");
  EXPECT_THAT(
      [] {
        build("scale", {{"factor", torch::ones({3})}})->forward(torch::zeros({1, 2, 4}), {}, {});
      },
      ThrowsMessage<PlanError>(HasSubstr("factor has 3 numbers, expected one, or one a column (4)")));
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
