// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace vene::detail {

/// Accuracy on the test rows of a logistic regression fitted to the train rows, a cell each, all cells as one batch.
/// @param values   [cells, rows, width], any dtype
/// @param classes  of each row, 0 to count - 1
/// @return [cells], float64, on the CPU
/// Features are standardised by the train rows (one that does not vary there is left out), weights are held small by an
/// L2 penalty of half their square over the number of train rows. Source of the method: Nesterov's accelerated
/// gradient, its step from each cell's own largest curvature, so that a cell's result is its own.
torch::Tensor probe_accuracy(const torch::Tensor& values, const std::vector<std::int64_t>& classes, std::int64_t count,
                             const std::vector<std::int64_t>& train, const std::vector<std::int64_t>& test);

}  // namespace vene::detail
