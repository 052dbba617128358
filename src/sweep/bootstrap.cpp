// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/bootstrap.h"

#include <torch/utils.h>

#include <random>

namespace vene::detail {

torch::Tensor bootstrap_draws(std::int64_t draws, std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  torch::Tensor drawn = torch::empty({draws, count}, torch::kInt64);
  auto at = drawn.accessor<std::int64_t, 2>();
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    for (std::int64_t i = 0; i < count; ++i)
      at[draw][i] = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(count));
  }
  return drawn;
}

std::pair<torch::Tensor, torch::Tensor> middle(const torch::Tensor& values) {
  return {torch::quantile(values, 0.025, 0), torch::quantile(values, 0.975, 0)};
}

}  // namespace vene::detail
