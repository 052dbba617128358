// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <unordered_map>

#include "vene/train/trainer.h"

namespace vene::train {

/// What a frozen model computes below the interventions, kept example by example: the base's state before the first block that they touch, and the
/// values that they read in the sources' runs. Each is computed once.
class FrozenValues {
 public:
  /// @param bytes  the most to keep; what does not fit is computed each time
  FrozenValues(IntervenableModel model, std::int64_t bytes);
  /// The interventions' run of a batch, its logits at these columns only ([rows, labels]).
  Result run(const ExampleBatch& batch);
  std::int64_t bytes() const { return used_; }
  /// Whether this model's values below the interventions stay what they are while training.
  static bool fits(const IntervenableModelImpl& model);

 private:
  struct Kept {
    models::StageState state;            // the base's; undefined tensors: none
    std::vector<torch::Tensor> sources;  // by representation; undefined: reads none
  };
  /// Runs the examples of a batch and keeps what they read. False where there is no room, or the batch has places without a source.
  bool keep(const ExampleBatch& batch, std::int64_t stage);

  IntervenableModel model_;
  IntervenableModel reader_;                     // the same places, keeping what it reads
  std::shared_ptr<std::vector<torch::Tensor>> read_;
  std::int64_t limit_, used_ = 0;
  bool full_ = false;
  std::unordered_map<std::size_t, Kept> kept_;   // by example
};

}  // namespace vene::train
