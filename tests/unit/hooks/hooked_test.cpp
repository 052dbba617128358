// SPDX-License-Identifier: Apache-2.0
// Where a hook fires: every way of calling a module, every shape of arguments and results.
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/rnn.h>
#include <torch/serialize.h>

#include "tests/unit/hooks/small_modules.h"

namespace vene_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

const Tensor kOnes = torch::ones({2, 3});

TEST(Hooked, FiresThroughEveryRouteOfACall) {
  Linear linear(torch::nn::LinearOptions(3, 3));
  const HookTable table = table_of(linear->site_id(), Phase::kOutput, set_to(7));
  torch::nn::AnyModule any(linear);
  torch::nn::Sequential sequence(linear, torch::nn::ReLU());
  torch::nn::ModuleList list;
  list->push_back(linear);
  const HookScope scope(table);
  const Tensor sevens = torch::full({2, 3}, 7.0);
  EXPECT_TRUE(torch::equal(linear(kOnes), sevens)) << "holder(x)";
  EXPECT_TRUE(torch::equal(linear->forward(kOnes), sevens)) << "->forward(x)";
  EXPECT_TRUE(torch::equal(any.forward(kOnes), sevens)) << "AnyModule";
  EXPECT_TRUE(torch::equal(sequence->forward(kOnes), sevens)) << "Sequential";
  EXPECT_TRUE(torch::equal(list->at<Hooked<torch::nn::LinearImpl>>(0).forward(kOnes), sevens)) << "ModuleList::at";
  EXPECT_EQ(scope.fire_count(linear->site_id(), Phase::kOutput), 5);
}

TEST(Hooked, InputHooksSeeAndReplaceWhatGoesIn) {
  Linear linear(torch::nn::LinearOptions(3, 3));
  const HookTable table = table_of(linear->site_id(), Phase::kInput, [](const HookContext& context) {
    EXPECT_EQ(context.phase, Phase::kInput);
    EXPECT_EQ(context.inputs.size(), 1U);
    EXPECT_TRUE(context.outputs.empty());
    context.value() = context.value() * 2;
  });
  const Tensor plain = linear(2 * kOnes);
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(linear(kOnes), plain));
}

TEST(Hooked, HooksOfOneSiteRunInTheOrderTheyWereAddedAndSeeEachOther) {
  Linear linear(torch::nn::LinearOptions(3, 3));
  HookTable table;
  table.on(linear->site_id(), Phase::kOutput, set_to(3));
  table.on(linear->site_id(), Phase::kOutput,
           [](const HookContext& context) { context.value() = context.value() * 2; });
  table.on(linear->site_id(), Phase::kOutput,
           [](const HookContext& context) { context.value() = context.value() + 1; });
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(linear(kOnes), torch::full({2, 3}, 7.0)));
}

TEST(Hooked, PairsAndTuplesAreTakenApart) {
  auto pair = std::make_shared<Hooked<PairOutImpl>>();
  const HookTable of_pair = table_of(pair->site_id(), Phase::kOutput, [](const HookContext& context) {
    ASSERT_EQ(context.outputs.size(), 2U);
    ASSERT_EQ(context.inputs.size(), 1U) << "the inputs are still there";
    std::swap(*context.outputs[0], *context.outputs[1]);
  });
  {
    const HookScope scope(of_pair);
    const auto [first, second] = pair->forward(kOnes);
    EXPECT_TRUE(torch::equal(first, 3 * kOnes));
    EXPECT_TRUE(torch::equal(second, 2 * kOnes));
  }
  auto nested = std::make_shared<Hooked<NestedImpl>>();
  std::vector<std::size_t> sizes;
  HookTable of_nested;
  of_nested.on(nested->site_id(), Phase::kInput, [&](const HookContext& context) {
    sizes.push_back(context.inputs.size());
    if (context.inputs.size() == 2) *context.inputs[1] = 10 * kOnes;
  });
  of_nested.on(nested->site_id(), Phase::kOutput, [&](const HookContext& context) {
    sizes.push_back(context.outputs.size());
    *context.outputs[3] = 9 * kOnes;
  });
  const HookScope scope(of_nested);
  const auto with = nested->forward(kOnes, kOnes);
  EXPECT_TRUE(torch::equal(std::get<0>(with), 11 * kOnes));
  EXPECT_TRUE(torch::equal(std::get<1>(std::get<1>(with))[1], 9 * kOnes)) << "the list's last";
  EXPECT_TRUE(torch::equal(std::get<1>(std::get<1>(with))[0], kOnes)) << "its neighbour stays";
  nested->forward(kOnes, std::nullopt);
  EXPECT_THAT(sizes, ElementsAre(2, 4, 1, 4)) << "an empty optional holds no tensor";
}

TEST(Hooked, ListsPairsAndPlainArgumentsGoIn) {
  auto module = std::make_shared<Hooked<ListInImpl>>();
  const HookTable table = table_of(module->site_id(), Phase::kInput, [](const HookContext& context) {
    ASSERT_EQ(context.inputs.size(), 4U);
    *context.inputs[1] = 5 * kOnes;
    *context.inputs[3] = 2 * kOnes;
  });
  const std::vector<Tensor> list{kOnes, kOnes};
  EXPECT_TRUE(torch::equal(module->forward(list, {kOnes, kOnes}, true, 2), -6 * kOnes));
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(module->forward(list, {kOnes, kOnes}, true, 2), -28 * kOnes));
  EXPECT_TRUE(torch::equal(list[1], kOnes)) << "the caller's list is its own";
}

TEST(Hooked, ConstForwardsAndAUsersOwnResultsWork) {
  auto constant = std::make_shared<Hooked<ConstForwardImpl>>();
  auto scored = std::make_shared<Hooked<ScoredImpl>>();
  HookTable table;
  table.on(constant->site_id(), Phase::kOutput, set_to(4));
  table.on(scored->site_id(), Phase::kOutput, set_to(5));
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(std::as_const(*constant).forward(kOnes), 4 * kOnes));
  const Scored result = scored->forward(kOnes);
  EXPECT_TRUE(torch::equal(result.value, 5 * kOnes));
  EXPECT_EQ(result.score, 0.5);
}

TEST(Hooked, AModuleWithoutATensorThereSaysSoAndWhere) {
  auto module = std::make_shared<Hooked<NoTensorImpl>>();
  const HookTable table = table_of(module->site_id(), Phase::kOutput, set_to(0), "score.output");
  const HookScope scope(table);
  EXPECT_THAT([&] { module->forward(kOnes); },
              ThrowsMessage<vene::Error>("score.output: the module has no tensor there to read or replace"));
}

TEST(Hooked, ACloneIsANewPlaceWithWeightsOfItsOwn) {
  TwoLayers model;
  const auto copy = std::dynamic_pointer_cast<TwoLayersImpl>(model->clone());
  ASSERT_NE(copy, nullptr);
  ASSERT_NE(std::dynamic_pointer_cast<Hooked<torch::nn::LinearImpl>>(copy->into.ptr()), nullptr) << "still hooked";
  EXPECT_NE(copy->into->site_id(), model->into->site_id());
  EXPECT_NE(copy->middle->site_id(), model->middle->site_id());
  EXPECT_TRUE(torch::equal(copy->into->weight, model->into->weight));
  const HookTable table = table_of(model->into->site_id(), Phase::kOutput, set_to(0));
  const Tensor plain = copy->forward(kOnes);
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(copy->forward(kOnes), plain)) << "the clone is not hooked by the original's table";
  EXPECT_FALSE(torch::equal(model->forward(kOnes), plain));
  const torch::NoGradGuard no_grad;
  copy->into->weight.zero_();
  EXPECT_NE(model->into->weight.abs().sum().item<double>(), 0) << "weights are not shared";
  const auto single = std::dynamic_pointer_cast<Hooked<torch::nn::LinearImpl>>(model->into->clone());
  ASSERT_NE(single, nullptr);
  EXPECT_TRUE(torch::equal(single->weight, model->into->weight));
  EXPECT_FALSE(single->weight.is_alias_of(model->into->weight));
}

TEST(Hooked, NamesOfParametersAreTheStockModules) {
  const auto names = [](const torch::nn::Module& module) {
    std::vector<std::string> keys = module.named_parameters().keys();
    for (const std::string& key : module.named_buffers().keys()) keys.push_back(key);
    return keys;
  };
  const Hooked<torch::nn::BatchNorm2dImpl> hooked(torch::nn::BatchNorm2dOptions(3));
  EXPECT_EQ(names(hooked), names(torch::nn::BatchNorm2dImpl(torch::nn::BatchNorm2dOptions(3))));
  EXPECT_THAT(names(*TwoLayers()), ElementsAre("into.weight", "into.bias", "out.weight", "out.bias", "steps"));
  Linear linear(torch::nn::LinearOptions(3, 3));
  EXPECT_NE(linear->as<torch::nn::Linear>(), nullptr) << "it still is the stock module";
}

TEST(Hooked, AnArchiveSavedFromStockModulesWithoutPointsLoads) {
  torch::manual_seed(3);
  struct StockImpl : torch::nn::Module {
    StockImpl() {
      into = register_module("into", torch::nn::Linear(3, 4));
      out = register_module("out", torch::nn::Linear(4, 2));
      steps = register_buffer("steps", torch::rand(4));
    }
    torch::nn::Linear into{nullptr}, out{nullptr};
    Tensor steps;
  };
  const auto stock = std::make_shared<StockImpl>();
  std::stringstream file;
  torch::save(stock, file);
  TwoLayers model;
  torch::load(model, file);
  EXPECT_TRUE(torch::equal(model->into->weight, stock->into->weight));
  EXPECT_TRUE(torch::equal(model->out->bias, stock->out->bias));
  EXPECT_TRUE(torch::equal(model->steps, stock->steps));
  std::stringstream again;
  torch::save(model, again);
  TwoLayers reread;
  torch::load(reread, again);
  EXPECT_TRUE(torch::equal(reread->forward(kOnes), model->forward(kOnes)));
}

TEST(Hooked, ACellCalledManyTimesCountsItsCalls) {
  torch::manual_seed(0);
  auto cell = std::make_shared<Hooked<torch::nn::GRUCellImpl>>(torch::nn::GRUCellOptions(3, 4));
  std::vector<std::int64_t> inputs, outputs;
  HookTable table;
  table.on(cell->site_id(), Phase::kInput, [&](const HookContext& context) { inputs.push_back(context.call); });
  table.on(cell->site_id(), Phase::kOutput, [&](const HookContext& context) {
    outputs.push_back(context.call);
    if (context.call == 2) context.value() = torch::zeros_like(context.value());
  });
  const Tensor steps = torch::rand({5, 2, 3});
  auto unroll = [&] {
    std::vector<Tensor> states{torch::zeros({2, 4})};
    for (std::int64_t t = 0; t < 5; ++t) states.push_back(cell->forward(steps[t], states.back()));
    return states;
  };
  const std::vector<Tensor> plain = unroll();
  std::vector<Tensor> edited;
  for (int run = 0; run < 2; ++run) {
    const HookScope scope(table);
    edited = unroll();
    EXPECT_EQ(scope.fire_count(cell->site_id(), Phase::kOutput), 5);
  }
  EXPECT_THAT(outputs, ElementsAre(0, 1, 2, 3, 4, 0, 1, 2, 3, 4)) << "a new scope counts from 0";
  EXPECT_EQ(inputs, outputs);
  EXPECT_TRUE(torch::equal(edited[2], plain[2])) << "before the step";
  EXPECT_EQ(edited[3].abs().sum().item<double>(), 0);
  EXPECT_TRUE(torch::equal(edited[4], cell->forward(steps[3], torch::zeros({2, 4})))) << "it flows on from there";
}

}  // namespace
}  // namespace vene_test
