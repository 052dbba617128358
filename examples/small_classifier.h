// SPDX-License-Identifier: Apache-2.0
// Trains the small networks that the alignment examples look into.
#pragma once
#include <torch/types.h>

#include "vene/models/mlp.h"

namespace small_classifier {

/// A batch of inputs [size, 1, width].
vene::models::Batch batch_of(const torch::Tensor& inputs);
/// 4,000 steps of AdamW on rows drawn from inputs [size, 1, width] and classes [size]; then the network is frozen.
void train(vene::models::MLPClassifier& network, const torch::Tensor& inputs, const torch::Tensor& labels,
           double weight_decay);
double accuracy(vene::models::MLPClassifier& network, const torch::Tensor& inputs, const torch::Tensor& labels);

}  // namespace small_classifier
