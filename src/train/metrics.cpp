// SPDX-License-Identifier: Apache-2.0
#include "vene/train/metrics.h"

#include <torch/types.h>

namespace vene::train {

using torch::Tensor;

namespace {

// Half precision is not enough for a sum over a vocabulary.
Tensor log_probabilities(const Tensor& logits) {
  return torch::log_softmax(logits.scalar_type() == torch::kFloat64 ? logits : logits.to(torch::kFloat32), -1);
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& tokens) {
  return -log_probabilities(logits).gather(-1, tokens.unsqueeze(-1)).squeeze(-1).mean(1);
}

Tensor all_correct(const Tensor& logits, const Tensor& tokens) {
  return (logits.argmax(-1) == tokens).all(1);
}

Tensor logit_difference(const Tensor& logits, const Tensor& tokens, const Tensor& rivals) {
  const Tensor first = logits.select(1, 0);
  return (first.gather(1, tokens.select(1, 0).unsqueeze(1)) - first.gather(1, rivals.unsqueeze(1))).squeeze(1);
}

Tensor kl_divergence(const Tensor& original, const Tensor& intervened) {
  const Tensor from = log_probabilities(original);
  const Tensor to = log_probabilities(intervened);
  return (from.exp() * (from - to)).sum(-1).mean(1);
}

}  // namespace vene::train
