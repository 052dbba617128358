// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/numpy_random.h"

#include <torch/types.h>

#include <cmath>

namespace vene {

NumpyRandomState::NumpyRandomState(std::uint32_t seed) {
  // init_genrand of Matsumoto and Nishimura, which numpy's legacy seeding of an integer uses.
  state_[0] = seed;
  for (std::uint32_t i = 1; i < state_.size(); ++i)
    state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

std::uint32_t NumpyRandomState::next() {
  constexpr std::size_t kSize = 624;
  constexpr std::size_t kShift = 397;
  if (at_ == kSize) {
    for (std::size_t i = 0; i < kSize; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % kSize] & 0x7fffffffU);
      state_[i] = state_[(i + kShift) % kSize] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
    }
    at_ = 0;
  }
  std::uint32_t y = state_[at_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

double NumpyRandomState::uniform() {
  const double high = next() >> 5;
  const double low = next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double NumpyRandomState::randn() {
  if (spare_) {
    const double value = *spare_;
    spare_.reset();
    return value;
  }
  double x1 = 0;
  double x2 = 0;
  double square = 0;
  do {
    x1 = 2.0 * uniform() - 1.0;
    x2 = 2.0 * uniform() - 1.0;
    square = x1 * x1 + x2 * x2;
  } while (square >= 1.0 || square == 0.0);
  const double factor = std::sqrt(-2.0 * std::log(square) / square);
  spare_ = factor * x1;
  return factor * x2;
}

torch::Tensor NumpyRandomState::randn(const std::vector<std::int64_t>& shape) {
  torch::Tensor values = torch::empty(shape, torch::kFloat64);
  double* data = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = randn();
  return values;
}

torch::Tensor numpy_randn(std::uint32_t seed, const std::vector<std::int64_t>& shape) {
  return NumpyRandomState(seed).randn(shape);
}

}  // namespace vene
