// SPDX-License-Identifier: Apache-2.0
// For how long hooks run, on which thread, and how a run ends.
#include <atomic>
#include <thread>

#include "tests/unit/hooks/small_modules.h"

namespace vene_test {
namespace {

using testing::ElementsAre;
using testing::ThrowsMessage;

const Tensor kOnes = torch::ones({2, 3});

TEST(HookScope, IsSilentOutsideItsLifetime) {
  TwoLayers model;
  int fired = 0;
  const HookTable table = table_of(model->middle->site_id(), Phase::kOutput, count_in(fired));
  model->forward(kOnes);
  EXPECT_EQ(fired, 0);
  EXPECT_EQ(HookScope::current(), nullptr);
  {
    const HookScope scope(table);
    EXPECT_EQ(HookScope::current(), &scope);
    EXPECT_TRUE(model->middle->watched());
    model->forward(kOnes);
    EXPECT_EQ(fired, 1);
  }
  EXPECT_EQ(HookScope::current(), nullptr);
  EXPECT_FALSE(model->middle->watched());
  model->forward(kOnes);
  EXPECT_EQ(fired, 1);
}

TEST(HookScope, AnExceptionPopsItAndNamesTheSite) {
  TwoLayers model;
  const auto run = [&](const std::function<void()>& fail, const std::string& label) {
    const HookTable table = table_of(
        model->middle->site_id(), Phase::kOutput, [&](const HookContext&) { fail(); }, label);
    const HookScope scope(table);
    model->forward(kOnes);
  };
  EXPECT_THAT([&] { run([] { throw std::runtime_error("no luck"); }, "middle.output"); },
              ThrowsMessage<vene::Error>("middle.output: no luck"));
  EXPECT_EQ(HookScope::current(), nullptr);
  EXPECT_THAT([&] { run([] { throw std::runtime_error("no luck"); }, ""); },
              ThrowsMessage<vene::Error>("hook: no luck"));
  EXPECT_THAT([&] { run([] { torch::ones({2}) + torch::ones({3}); }, "middle.output"); },
              ThrowsMessage<vene::Error>(testing::StartsWith("middle.output: The size of tensor a (2) must match")));
  EXPECT_THAT([&] { run([] { throw vene::LocationError("head 9 does not exist"); }, "middle.output"); },
              ThrowsMessage<vene::LocationError>("middle.output: head 9 does not exist"))
      << "an error of the library keeps its type";
  EXPECT_THAT(
      [&] { run([] { throw vene::PlanError("representations[0] at middle.output: too wide"); }, "middle.output"); },
      ThrowsMessage<vene::PlanError>("representations[0] at middle.output: too wide"))
      << "and is left as it is where it names the place already";
  EXPECT_EQ(HookScope::current(), nullptr);
  EXPECT_NO_THROW(model->forward(kOnes));
}

TEST(HookScope, NestedScopesDoNotSeeEachOther) {
  TwoLayers model;
  int outer_fired = 0, inner_fired = 0;
  const HookTable outer_table = table_of(model->middle->site_id(), Phase::kOutput, count_in(outer_fired));
  const HookTable inner_table = table_of(model->into->site_id(), Phase::kOutput, count_in(inner_fired));
  const HookScope outer(outer_table);
  {
    const HookScope inner(inner_table);
    model->forward(kOnes);
    EXPECT_EQ(outer_fired, 0);
    EXPECT_EQ(inner_fired, 1);
    EXPECT_EQ(outer.fire_count(model->middle->site_id(), Phase::kOutput), 0);
  }
  model->forward(kOnes);
  EXPECT_EQ(outer_fired, 1);
  EXPECT_EQ(inner_fired, 1);
}

TEST(HookScope, AHookMayRunTheModelInAScopeOfItsOwn) {
  TwoLayers model;
  int depth = 0, fired = 0;
  HookTable table;
  table.on(model->middle->site_id(), Phase::kOutput, [&](const HookContext& context) {
    ++fired;
    if (depth++ == 0) {
      const HookScope inner(table);
      model->forward(kOnes);
      EXPECT_EQ(inner.fire_count(context.site, Phase::kOutput), 1);
    }
  });
  const HookScope scope(table);
  model->forward(kOnes);
  EXPECT_EQ(fired, 2);
  EXPECT_EQ(HookScope::current(), &scope);
  EXPECT_EQ(scope.fire_count(model->middle->site_id(), Phase::kOutput), 1);
}

TEST(HookScope, TwoThreadsRunTwoTablesOnOneModel) {
  TwoLayers model;
  const torch::NoGradGuard no_grad;
  HookTable tables[2];
  Tensor expected[2];
  for (int i = 0; i < 2; ++i) {
    tables[i].on(model->middle->site_id(), Phase::kOutput, set_to(i + 1));
    expected[i] = model->out(torch::full({2, 4}, i + 1.0));
  }
  std::atomic<int> wrong{0};
  auto work = [&](int i) {
    const torch::NoGradGuard no_grad_here;
    const HookScope scope(tables[i]);
    for (int round = 0; round < 300; ++round) wrong += torch::equal(model->forward(kOnes), expected[i]) ? 0 : 1;
    wrong += scope.fire_count(model->middle->site_id(), Phase::kOutput) == 300 ? 0 : 1;
  };
  std::thread first(work, 0), second(work, 1);
  const Tensor plain = model->forward(kOnes);
  first.join();
  second.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(torch::equal(model->forward(kOnes), plain)) << "this thread has no scope";
  const HookScope scope(tables[0]);
  bool seen = true;
  std::thread([&] { seen = HookScope::current() != nullptr; }).join();
  EXPECT_FALSE(seen) << "a scope is its thread's own";
}

TEST(HookScope, StoppingEndsTheForwardAfterTheFiring) {
  TwoLayers model;
  int later = 0, same_site = 0;
  HookTable table;
  table.on(model->middle->site_id(), Phase::kOutput, [](const HookContext& context) { context.scope.stop(); });
  table.on(model->middle->site_id(), Phase::kOutput, count_in(same_site));
  table.on(model->out->site_id(), Phase::kInput, count_in(later));
  {
    const HookScope scope(table);
    EXPECT_FALSE(vene::run_until_stopped([&] { model->forward(kOnes); }));
    EXPECT_EQ(same_site, 1) << "the other hooks of the firing still run";
    EXPECT_EQ(later, 0);
    EXPECT_EQ(scope.fire_count(model->out->site_id(), Phase::kInput), 0);
  }
  EXPECT_TRUE(vene::run_until_stopped([&] { model->forward(kOnes); })) << "no scope, nothing that stops";
}

TEST(HookScope, CountsWhatItWatchesInEachPhase) {
  TwoLayers model;
  HookTable table;
  EXPECT_TRUE(table.empty());
  table.on(model->into->site_id(), Phase::kOutput, [](const HookContext&) {});
  EXPECT_FALSE(table.empty());
  const HookScope scope(table);
  model->forward(kOnes);
  model->into(kOnes);
  EXPECT_EQ(scope.fire_count(model->into->site_id(), Phase::kOutput), 2);
  EXPECT_EQ(scope.fire_count(model->into->site_id(), Phase::kInput), 2) << "reached, though nothing was to be done";
  EXPECT_EQ(scope.fire_count(model->out->site_id(), Phase::kOutput), 0) << "not watched";
}

TEST(HooksDisabled, HidesEveryScopeWhileItLives) {
  TwoLayers model;
  int fired = 0;
  const HookTable table = table_of(model->middle->site_id(), Phase::kOutput, count_in(fired));
  const HookScope scope(table);
  {
    const vene::HooksDisabled undisturbed;
    model->forward(kOnes);
    EXPECT_EQ(fired, 0);
    EXPECT_EQ(HookScope::current(), nullptr);
    const HookScope inner(table);
    model->forward(kOnes);
    EXPECT_EQ(fired, 1) << "a scope opened inside counts";
  }
  model->forward(kOnes);
  EXPECT_EQ(fired, 2);
}

}  // namespace
}  // namespace vene_test
