// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <utility>

namespace vene::models {

/// Cosines and sines [batch, 1, pos, d_head] of rotary positions; `frequencies` [d_head / 2] in float32. Computed in
/// float32 and cast to `dtype`, as transformers does.
std::pair<torch::Tensor, torch::Tensor> rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype);

/// Queries or keys [batch, heads, pos, d_head] turned by their positions; halves of the head are the pairs.
torch::Tensor rotate(const torch::Tensor& value, const std::pair<torch::Tensor, torch::Tensor>& angles);

}  // namespace vene::models
