// SPDX-License-Identifier: Apache-2.0
#include "models/common/rotary.h"

namespace vene::models {

std::pair<torch::Tensor, torch::Tensor> rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype) {
  const torch::Tensor half = position_ids.to(torch::kFloat32).unsqueeze(-1) * frequencies.to(position_ids.device());  // [batch, pos, d_head / 2]
  const torch::Tensor whole = torch::cat({half, half}, -1).unsqueeze(1);
  return {whole.cos().to(dtype), whole.sin().to(dtype)};
}

torch::Tensor rotate(const torch::Tensor& value, const std::pair<torch::Tensor, torch::Tensor>& angles) {
  const std::vector<torch::Tensor> halves = value.chunk(2, -1);
  return value * angles.first + torch::cat({-halves[1], halves[0]}, -1) * angles.second;
}

}  // namespace vene::models
