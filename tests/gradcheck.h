// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace vene_test {

/// Compares the gradient of `loss()` in each tensor (float64 leaves, some of their elements) with its central
/// difference.
template <class Loss>
void gradcheck(const std::vector<torch::Tensor>& leaves, Loss loss, double tolerance = 1e-6, std::int64_t most = 40) {
  std::vector<torch::Tensor> gradients =
      torch::autograd::grad({loss()}, leaves, {}, std::nullopt, false, /*allow_unused=*/true);
  for (std::size_t t = 0; t < leaves.size(); ++t) {
    ASSERT_EQ(leaves[t].scalar_type(), torch::kFloat64);
    torch::Tensor flat = leaves[t].detach().view({-1});
    const std::int64_t step = std::max<std::int64_t>(1, flat.numel() / most);
    for (std::int64_t i = 0; i < flat.numel(); i += step) {
      const torch::NoGradGuard no_grad;
      const double width = 1e-6;
      const double kept = flat[i].item<double>();
      flat[i] = kept + width;
      const double above = loss().template item<double>();
      flat[i] = kept - width;
      const double below = loss().template item<double>();
      flat[i] = kept;
      const double numeric = (above - below) / (2 * width);
      const double analytic = gradients[t].defined() ? gradients[t].reshape({-1})[i].item<double>() : 0;
      EXPECT_NEAR(analytic, numeric, tolerance * std::max(1.0, std::abs(numeric)))
          << "tensor " << t << ", element " << i;
    }
  }
}

}  // namespace vene_test
