// SPDX-License-Identifier: Apache-2.0
#include "src/train/probe.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

namespace vene::detail {
namespace {

using torch::Tensor;

constexpr int kIterations = 400;
constexpr int kPowerIterations = 60;

// Largest eigenvalue of each X'X, from below, times a margin: [cells, 1, 1].
Tensor largest_curvature(const Tensor& x) {
  Tensor v = torch::ones({x.size(0), x.size(2), 1}, x.options());
  Tensor length;
  for (int i = 0; i < kPowerIterations; ++i) {
    const Tensor next = x.transpose(1, 2).bmm(x.bmm(v));
    length = next.norm(2, {1}, true).clamp_min(1e-12);
    v = next / length;
  }
  return length * 1.05;
}

}  // namespace

Tensor probe_accuracy(const Tensor& values, const std::vector<std::int64_t>& classes, std::int64_t count,
                      const std::vector<std::int64_t>& train, const std::vector<std::int64_t>& test) {
  const torch::NoGradGuard no_grad;
  const auto rows = [&](const std::vector<std::int64_t>& picked) {
    return torch::tensor(picked, torch::kInt64).to(values.device());
  };
  const Tensor labels = torch::tensor(classes, torch::kInt64).to(values.device());
  const Tensor x = values.to(torch::kFloat32);
  const Tensor seen = x.index_select(1, rows(train));
  const Tensor mean = seen.mean(1, true);
  const Tensor deviation = (seen - mean).pow(2).mean(1, true).sqrt();
  // What the same computation gives for the same token differs in its last bits from row to row; that is no feature.
  const Tensor size = seen.pow(2).mean({1, 2}, true).sqrt();
  const Tensor scale = torch::where(deviation > 1e-4 * size, deviation.reciprocal(), torch::zeros_like(deviation));
  // The constant feature, last, is the intercept, which the penalty leaves alone.
  const auto prepared = [&](const Tensor& some) {
    return torch::cat({(some - mean) * scale, torch::ones({some.size(0), some.size(1), 1}, some.options())}, 2);
  };
  const Tensor a = prepared(seen);
  const auto examples = static_cast<double>(a.size(1));
  const Tensor wanted = torch::one_hot(labels.index_select(0, rows(train)), count)
                            .to(torch::kFloat32)
                            .unsqueeze(0);  // [1, rows, classes]
  Tensor penalty = torch::full({1, a.size(2), 1}, 1 / examples, a.options());
  penalty.select(1, -1).fill_(0);
  // The curvature of a softmax is at most one half in any direction.
  const Tensor step = (0.5 * largest_curvature(a) / examples + 1 / examples).reciprocal();
  Tensor w = torch::zeros({a.size(0), a.size(2), count}, a.options()), ahead = w;
  double momentum = 1;
  for (int i = 0; i < kIterations; ++i) {
    const Tensor gradient =
        a.transpose(1, 2).bmm(torch::softmax(a.bmm(ahead), 2) - wanted) / examples + penalty * ahead;
    const Tensor next = ahead - step * gradient;
    const double following = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    ahead = next + (momentum - 1) / following * (next - w);
    w = next;
    momentum = following;
  }
  const Tensor guesses = prepared(x.index_select(1, rows(test))).bmm(w).argmax(2);
  return (guesses == labels.index_select(0, rows(test)).unsqueeze(0)).to(torch::kFloat64).mean(1).to(torch::kCPU);
}

}  // namespace vene::detail
