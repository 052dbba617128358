// SPDX-License-Identifier: Apache-2.0
// Picks next tokens. Private to core.
#pragma once
#include <torch/types.h>

#include <random>
#include <vector>

#include "vene/core/generate.h"

namespace vene::detail {

/// Throws ConfigError naming the option that is out of range.
void check_options(const GenerateOptions& options);
/// A stop token that the model cannot write is a mistake; a vocabulary of 0 is an unknown one.
void check_stop_tokens(const GenerateOptions& options, std::int64_t vocabulary);

class Sampler {
 public:
  /// @param prompts  each row's token ids, for the repetition penalty
  Sampler(const GenerateOptions& options, const std::vector<std::vector<std::int64_t>>& prompts);
  /// One token a row from logits [batch, vocabulary]. ModelError for logits that are not numbers.
  std::vector<std::int64_t> next(const torch::Tensor& logits);
  /// The latest tokens [batch] where they were chosen, undefined on the CPU.
  const torch::Tensor& on_device() const { return chosen_; }

 private:
  std::vector<std::int64_t> next_on_device(const torch::Tensor& logits);
  torch::Tensor drawn_on_device(const torch::Tensor& scores);
  std::int64_t draw(float* scores, std::int64_t count, std::mt19937_64& random) const;
  double temperature_, top_p_, penalty_;
  std::int64_t top_k_;
  std::vector<std::mt19937_64> random_;             // by row
  std::vector<std::vector<std::int64_t>> present_;  // tokens of each row, once each
  torch::Tensor seen_;                              // the same on a device: [batch, vocabulary], boolean
  torch::Tensor chosen_;
};

}  // namespace vene::detail
