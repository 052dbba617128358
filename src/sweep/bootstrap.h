// SPDX-License-Identifier: Apache-2.0
// Intervals by drawing the same cases anew. Private to the library.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <utility>

namespace vene::detail {

/// Rows of `count` indices below `count`, drawn with replacement: [draws, count] int64, the same on every machine.
torch::Tensor bootstrap_draws(std::int64_t draws, std::int64_t count, std::uint64_t seed);
/// The middle 95 % along the first axis of values [draws, ...]: the lower and the upper end.
std::pair<torch::Tensor, torch::Tensor> middle(const torch::Tensor& values);

}  // namespace vene::detail
