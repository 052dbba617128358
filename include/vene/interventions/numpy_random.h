// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// numpy.random.RandomState(seed): the Mersenne twister MT19937 and the polar method, bit for bit.
class VENE_API NumpyRandomState {
 public:
  explicit NumpyRandomState(std::uint32_t seed);
  /// One standard normal deviate, as randn draws them.
  double randn();
  /// A tensor of them, row-major, float64.
  torch::Tensor randn(const std::vector<std::int64_t>& shape);

 private:
  std::uint32_t next();
  double uniform();
  std::array<std::uint32_t, 624> state_;
  std::size_t at_ = 624;
  std::optional<double> spare_;
};

/// numpy.random.RandomState(seed).randn(*shape), float64.
VENE_API torch::Tensor numpy_randn(std::uint32_t seed, const std::vector<std::int64_t>& shape);

}  // namespace vene
