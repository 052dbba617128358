// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <limits>

#include "vene/base/export.h"

namespace vene::train {

/// Means over examples, of an evaluation. Not a number where it was not asked or cannot be said.
struct Metrics {
  double loss = std::numeric_limits<double>::quiet_NaN();      ///< cross entropy at the labels, in nats
  double accuracy = std::numeric_limits<double>::quiet_NaN();  ///< share of examples whose every label is the most
                                                               ///< likely token (of an interchange: IIA)
  double logit_difference = std::numeric_limits<double>::quiet_NaN();  ///< first label's logit less the rival's
  double kl =
      std::numeric_limits<double>::quiet_NaN();  ///< of the intervened from the original output, at the labels, in nats
};

/// All take logits [rows, labels, vocabulary] and tokens [rows, labels], and give a value an example, [rows].
VENE_API torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& tokens);
VENE_API torch::Tensor all_correct(const torch::Tensor& logits, const torch::Tensor& tokens);
/// `rivals` [rows].
VENE_API torch::Tensor logit_difference(const torch::Tensor& logits, const torch::Tensor& tokens,
                                        const torch::Tensor& rivals);
/// KL(original || intervened), mean over the labels.
VENE_API torch::Tensor kl_divergence(const torch::Tensor& original, const torch::Tensor& intervened);

}  // namespace vene::train
