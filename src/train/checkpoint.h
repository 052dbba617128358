// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "vene/train/trainer.h"

namespace vene::train {

/// Everything that a training goes on from.
struct Checkpoint {
  std::int64_t next_step = 0;
  NamedTensors parameters;  ///< by number, "0", "1" ...
  NamedTensors constants;   ///< the interventions' buffers, by number
  NamedTensors optimizer;
  NamedTensors best;  ///< parameters of the lowest validation loss; empty: none yet
  double best_loss = 0;
  std::int64_t best_step = -1;      ///< the last step before it
  std::int64_t epochs_without = 0;  ///< since then
  torch::Tensor generator;          ///< state of LibTorch's CPU generator
  torch::Tensor device_generator;   ///< and of the device's, where the model is on one
  TrainReport report;
};

/// What of the options, the interventions and the data a training cannot go on without; a checkpoint of other ones is
/// refused.
std::string training_identity(const TrainOptions& options, const IntervenableModelImpl& model,
                              const std::vector<Example>& examples, const std::vector<Example>& validation,
                              std::int64_t steps);

/// One file, atomically.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, const std::string& identity);
/// IoError for a damaged file, PlanError for one of another training.
Checkpoint read_checkpoint(const std::string& path, const std::string& identity);

}  // namespace vene::train
