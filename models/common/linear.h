// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

namespace vene::models {

/// input [..., in] times weight [out, in] (of any strides) transposed, plus bias [out] where it is defined -> [...,
/// out]. What torch::linear gives, with gradients of any order; large float32 products on the CPU are oneDNN's, which
/// on processors that MKL does not favour is up to three times faster.
torch::Tensor apply_linear(const torch::Tensor& input, const torch::Tensor& weight, const torch::Tensor& bias);

}  // namespace vene::models
