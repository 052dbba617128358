// SPDX-License-Identifier: Apache-2.0
// What a replacement does: to gradients, to the caller's tensors, to the model's own; and what an idle site costs.
#include <cstdlib>
#include <new>

#include "tests/unit/hooks/small_modules.h"

namespace {
// Heap allocations of this thread while it counts. The replaced operators serve LibTorch too.
thread_local bool counting = false;
thread_local long allocations = 0;

void* allocate(std::size_t size) {
  if (counting) ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace vene_test {
namespace {

template <class Call>
long allocations_of(const Call& call) {
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

// Derivative of `loss` along one element by central differences.
double slope(const std::function<Tensor()>& loss, Tensor variable, std::int64_t element) {
  const torch::NoGradGuard no_grad;
  const double step = 1e-6;
  double* at = variable.data_ptr<double>() + element;
  const double middle = *at;
  *at = middle + step;
  const double above = loss().item<double>();
  *at = middle - step;
  const double below = loss().item<double>();
  *at = middle;
  return (above - below) / (2 * step);
}

TEST(Replacement, GradientsPassThroughIt) {
  torch::manual_seed(1);
  TwoLayers model;
  model->to(torch::kFloat64);
  Tensor input = torch::rand({2, 3}, torch::kFloat64).requires_grad_();
  Tensor scale = torch::rand({4}, torch::kFloat64).requires_grad_();
  HookTable table;
  table.on(model->into->site_id(), Phase::kInput,
           [&](const HookContext& context) { context.value() = context.value().square() + 1; });
  // Half of the columns replaced by something that depends on the value and on a parameter of the hook.
  table.on(model->middle->site_id(), Phase::kOutput, [&](const HookContext& context) {
    const Tensor changed = context.value() * scale + scale.square();
    context.value() = torch::cat({changed.slice(1, 0, 2), context.value().slice(1, 2)}, 1);
  });
  const HookScope scope(table);
  const auto loss = [&] { return model->forward(input).square().sum(); };
  loss().backward();
  for (Tensor variable : {input, scale, model->into->weight, model->into->bias, model->out->weight}) {
    ASSERT_TRUE(variable.grad().defined());
    ASSERT_GT(variable.grad().abs().max().item<double>(), 0);
    for (std::int64_t i = 0; i < variable.numel(); ++i) {
      EXPECT_NEAR(variable.grad().flatten()[i].item<double>(), slope(loss, variable, i), 1e-6);
    }
  }
  EXPECT_EQ(scale.grad()[2].item<double>(), 0) << "columns that were not replaced don't depend on the hook's parameter";
}

TEST(Replacement, LeavesTheCallersTensorsAndTheModelsAlone) {
  TwoLayers model;
  const Tensor input = torch::rand({2, 3});
  const Tensor input_before = input.clone(), weight = model->into->weight.clone(), steps = model->steps.clone();
  HookTable table;
  table.on(model->into->site_id(), Phase::kInput, set_to(5));
  table.on(model->into->site_id(), Phase::kOutput, set_to(6));
  table.on(model->middle->site_id(), Phase::kOutput, set_to(7));
  {
    const HookScope scope(table);
    model->forward(input);
  }
  EXPECT_TRUE(torch::equal(input, input_before));
  EXPECT_TRUE(torch::equal(model->into->weight, weight));
  EXPECT_TRUE(torch::equal(model->steps, steps));
  Tensor buffer = model->steps;
  const HookTable replace = table_of(model->middle->site_id(), Phase::kOutput, set_to(3));
  const HookScope scope(replace);
  const Tensor out = model->middle(buffer);
  EXPECT_FALSE(out.is_alias_of(buffer)) << "a replaced value is a new one, though a buffer went in";
  EXPECT_TRUE(torch::equal(model->steps, steps));
}

TEST(Replacement, AModuleThatWritesIntoItsArgumentGetsTheReplacement) {
  auto module = std::make_shared<Hooked<InPlaceImpl>>();
  Tensor input = torch::zeros({2});
  const HookTable table = table_of(module->site_id(), Phase::kInput,
                                   [](const HookContext& context) { context.value() = context.value() + 10; });
  const HookScope scope(table);
  EXPECT_TRUE(torch::equal(module->forward(input), torch::full({2}, 11.0)));
  EXPECT_TRUE(torch::equal(input, torch::zeros({2}))) << "the caller's tensor is not what was replaced";
}

TEST(Replacement, AValueKeptByAHookOutlivesTheScopeUnchanged) {
  TwoLayers model;
  Tensor kept;
  const HookTable table = table_of(model->middle->site_id(), Phase::kOutput,
                                   [&](const HookContext& context) { kept = context.value().clone(); });
  Tensor out;
  {
    const HookScope scope(table);
    out = model->forward(torch::ones({1, 3}));
  }
  const Tensor before = kept.detach().clone();
  kept.detach().fill_(100);
  EXPECT_TRUE(torch::equal(model->forward(torch::ones({1, 3})), out));
  EXPECT_FALSE(torch::equal(kept, before));
}

TEST(IdleSite, AllocatesNothing) {
  const torch::NoGradGuard no_grad;
  vene::HookPoint point;
  Linear hooked(torch::nn::LinearOptions(3, 3));
  torch::nn::Linear stock(3, 3);
  Linear elsewhere(torch::nn::LinearOptions(3, 3));
  const Tensor input = torch::ones({2, 3});
  const HookTable table = table_of(elsewhere->site_id(), Phase::kOutput, [](const HookContext&) {});
  Tensor result;
  ASSERT_GT(allocations_of([&] { result = input + 1; }), 0) << "the count sees LibTorch's allocations";
  for (int scoped = 0; scoped < 2; ++scoped) {
    const std::unique_ptr<HookScope> scope = scoped ? std::make_unique<HookScope>(table) : nullptr;
    for (int warm = 0; warm < 3; ++warm) result = stock(hooked(point(input)));
    EXPECT_EQ(allocations_of([&] { result = point(input); }), 0);
    const long plain = allocations_of([&] { result = stock(input); });
    EXPECT_EQ(allocations_of([&] { result = hooked(input); }), plain);
    EXPECT_EQ(allocations_of([&] { result = hooked->forward(input); }), plain);
  }
}

}  // namespace
}  // namespace vene_test
