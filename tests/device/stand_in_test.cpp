// SPDX-License-Identifier: Apache-2.0
// The stand-in itself: that it computes what the CPU does, refuses what CUDA refuses and counts what crosses.
#include "tests/device/stand_in.h"

#include <gmock/gmock.h>
#include <torch/nn/functional/activation.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <functional>

namespace vene_test {
namespace {

using torch::Tensor;

TEST(StandInTest, AModuleMovesAndLearnsThereAsOnTheCpu) {
  std::vector<Tensor> weights;
  for (const c10::Device device : {c10::Device(c10::kCPU), stand_in()}) {
    torch::manual_seed(3);
    torch::nn::Linear linear(5, 4);
    const Tensor input = torch::randn({3, 5}).to(device);
    linear->to(device);
    torch::optim::Adam adam(linear->parameters(), 0.1);
    for (int step = 0; step < 3; ++step) {
      adam.zero_grad();
      (torch::log_softmax(linear(input), -1).select(1, 2) - linear(input).pow(2).sum(1)).mean().backward();
      adam.step();
    }
    EXPECT_EQ(linear->weight.device(), device);
    weights.push_back(linear->weight.detach().to(torch::kCPU));
  }
  EXPECT_TRUE(torch::equal(weights[0], weights[1]));
}

TEST(StandInTest, ViewsShareTheirMemoryAndResultsOwnTheirs) {
  const Tensor value = torch::arange(12, torch::TensorOptions(torch::kFloat32).device(stand_in())).view({3, 4});
  value.select(0, 1).narrow(0, 1, 2).fill_(-1);
  value.t().unfold(0, 2, 2).mul_(2);
  const Tensor sum = value + 1;
  value.zero_();
  const Tensor expected = torch::tensor({{1, 3, 5, 7}, {9, -1, -1, 15}, {17, 19, 21, 23}}, torch::kFloat32);
  EXPECT_TRUE(torch::equal(sum.to(torch::kCPU), expected)) << sum.to(torch::kCPU);
  EXPECT_EQ(value.to(torch::kCPU).abs().sum().item<float>(), 0);
}

TEST(StandInTest, WhatCudaRefusesIsRefused) {
  const Tensor here = torch::ones({3, 4}).to(stand_in()), there = torch::ones({3, 4}),
               index = torch::zeros({2}, torch::kInt64);
  const std::vector<std::function<void()>> wrong{
      [&] { (void)(here + there); },
      [&] {
        (void)torch::cat({here, there});
      },
      [&] { (void)here.index_select(0, index); },
      [&] { (void)here.matmul(there.t()); },
      [&] {
        (void)here.gather(0, torch::zeros({1, 4}, torch::kInt64));
      },
      [&] { (void)torch::where(here > 0, here, there); },
      [&] { here.normal_(0, 1, at::make_generator<at::CPUGeneratorImpl>(1)); }};
  for (std::size_t i = 0; i < wrong.size(); ++i) EXPECT_THROW(wrong[i](), c10::Error) << i;
  EXPECT_NO_THROW((void)(here + torch::tensor(2.0F))) << "a number in a tensor will do, as on CUDA";
  EXPECT_NO_THROW((void)here.index({index}));
}

TEST(StandInTest, WhatCrossesIsCounted) {
  const auto is = [](const DeviceCounts& counts, std::int64_t up, std::int64_t down, std::int64_t items,
                     std::int64_t waits) {
    return counts.uploads == up && counts.downloads == down && counts.items == items && counts.waits == waits;
  };
  Tensor here;
  EXPECT_TRUE(is(counted([&] { here = torch::ones({3, 4}).to(stand_in()); }), 1, 0, 0, 0));
  EXPECT_TRUE(is(counted([&] { here = (here * 2).clone().contiguous().t().reshape({-1}); }), 0, 0, 0, 0));
  EXPECT_TRUE(is(counted([&] { (void)here.to(torch::kCPU); }), 0, 1, 0, 0));
  EXPECT_TRUE(is(counted([&] { (void)here.sum().item<float>(); }), 0, 0, 1, 0));
  EXPECT_TRUE(is(counted([&] { (void)torch::equal(here, here + 1); }), 0, 0, 0, 1));
  EXPECT_TRUE(is(counted([&] { (void)here.index({here > 1}); }), 0, 0, 0, 1));
  EXPECT_TRUE(is(counted([&] { (void)here.index({torch::tensor({1, 2})}); }), 1, 0, 0, 0));
  EXPECT_TRUE(is(counted([&] { (void)torch::tensor({1, 2}).to(stand_in()); }), 1, 0, 0, 0));
}

TEST(StandInTest, ItsRandomNumbersAreItsOwn) {
  const torch::TensorOptions options = torch::TensorOptions(torch::kFloat32).device(stand_in());
  at::Generator random = at::globalContext().defaultGenerator(stand_in());
  const Tensor before = random.get_state(), host = at::detail::getDefaultCPUGenerator().get_state();
  const Tensor first = torch::randn({4}, options), second = torch::randn({4}, options);
  EXPECT_FALSE(torch::equal(first, second));
  random.set_state(before);
  EXPECT_TRUE(torch::equal(first, torch::randn({4}, options)));
  EXPECT_TRUE(torch::equal(host, at::detail::getDefaultCPUGenerator().get_state()));
}

}  // namespace
}  // namespace vene_test
