// SPDX-License-Identifier: Apache-2.0
// Linear layers large enough for oneDNN are LibTorch's linear in double precision, with gradients of first and second
// order.
#include "models/common/linear.h"

#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "helpers.h"
#include "tests/autocast.h"

namespace {

using torch::Tensor;
using vene::models::apply_linear;
using vene_test::relative_error;

constexpr std::int64_t kIn = 384, kOut = 512;  // 196,608 weights

std::vector<Tensor> differentiated(bool reference, const Tensor& input, const Tensor& weight, const Tensor& bias) {
  std::vector<Tensor> leaves = {input, weight, bias};
  for (Tensor& leaf : leaves)
    leaf = (reference ? leaf.to(torch::kFloat64) : leaf).detach().clone(torch::MemoryFormat::Preserve).requires_grad_();
  const Tensor output =
      reference ? torch::linear(leaves[0], leaves[1], leaves[2]) : apply_linear(leaves[0], leaves[1], leaves[2]);
  std::vector<Tensor> results =
      torch::autograd::grad({output.square().sum()}, leaves, {}, /*retain_graph=*/true, /*create_graph=*/true);
  const std::vector<Tensor> second =
      torch::autograd::grad({results[0].square().sum() + results[1].square().sum()}, leaves);
  results.insert(results.end(), second.begin(), second.end());
  results.push_back(output);
  return results;
}

void expect_equal_to_double(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  const std::vector<Tensor> results = differentiated(false, input, weight, bias),
                            expected = differentiated(true, input, weight, bias);
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].scalar_type(), torch::kFloat32);
    EXPECT_LE(relative_error(results[i].to(torch::kFloat64), expected[i]), 2e-6) << i;
  }
  const torch::NoGradGuard no_grad;
  EXPECT_LE(relative_error(apply_linear(input, weight, bias).to(torch::kFloat64), expected.back()), 2e-6);
  EXPECT_LE(relative_error(apply_linear(input, weight, {}), torch::linear(input, weight)), 2e-6);
}

TEST(LargeLinear, HasLibTorchsValuesAndGradients) {
  torch::manual_seed(1);
  const Tensor weight = torch::randn({kOut, kIn}), bias = torch::randn({kOut});
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{kIn}, {1, kIn}, {7, kIn}, {2, 5, kIn}, {1, 1, kIn}}) {
    SCOPED_TRACE(testing::PrintToString(shape));
    expect_equal_to_double(torch::randn(shape), weight, bias);
  }
}

TEST(LargeLinear, TakesAWeightOfAnyStrides) {
  torch::manual_seed(2);
  const Tensor bias = torch::randn({kOut});
  expect_equal_to_double(torch::randn({3, kIn}), torch::randn({kIn, kOut}).t(), bias);
  expect_equal_to_double(torch::randn({1, kIn}), torch::randn({kIn, kOut}).t(), bias);
  expect_equal_to_double(torch::randn({3, kIn}), torch::randn({kOut, 2 * kIn}).slice(1, 0, kIn), bias);
  expect_equal_to_double(torch::randn({kIn, 3}).t(), torch::randn({kOut, kIn}), bias);
}

TEST(LargeLinear, TakesNoRows) {
  EXPECT_EQ(apply_linear(torch::zeros({0, kIn}), torch::randn({kOut, kIn}), {}).sizes(), (at::IntArrayRef{0, kOut}));
}

TEST(LargeLinear, RefusesAnotherWidthAsLibTorchDoes) {
  EXPECT_THROW(apply_linear(torch::zeros({2, kIn + 1}), torch::randn({kOut, kIn}), {}), c10::Error);
}

TEST(LargeLinear, FollowsAutocast) {
  const Tensor input = torch::randn({3, kIn}), weight = torch::randn({kOut, kIn});
  const vene_test::Autocast autocast;
  EXPECT_EQ(apply_linear(input, weight, {}).scalar_type(), torch::kBFloat16);
}

}  // namespace
