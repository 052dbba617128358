// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>

#include "src/train/example_set.h"
#include "vene/io/files.h"
#include "vene/train/trainer.h"

namespace vene::train {

/// What a frozen model computes below the interventions, kept: the base's state before the first block that they touch,
/// and the values that they read in the sources' runs. Computed once, in groups that do not depend on the order of
/// training, so that a training that is taken up again sees the same values to the bit.
class FrozenValues {
 public:
  /// @param group  examples that are computed together
  /// @param bytes  the most to keep in memory; the rest goes to files in a temporary folder, removed at the end
  FrozenValues(IntervenableModel model, const ExampleSet& examples, std::int64_t group, std::int64_t bytes);
  /// The interventions' run of a batch, its logits at the labels' columns only ([rows, labels]).
  Result run(const ExampleBatch& batch);
  std::int64_t bytes_in_memory() const { return used_; }
  /// Whether this model's values below the interventions stay what they are while training.
  static bool fits(const IntervenableModelImpl& model);

 private:
  // Of a group's examples, a row each: "hidden", "attention_mask", "position_ids", and "source.<representation>" for
  // those that read one.
  struct Group {
    std::vector<std::size_t> examples;
    NamedTensors values;  // empty when not computed yet, or in the file
    std::string file;
  };
  void compute(Group& group);
  NamedTensors values(const Group& group) const;
  NamedTensors gathered(const std::vector<std::size_t>& examples);

  IntervenableModel model_;
  IntervenableModel reader_;  // the same places, keeping what it reads
  std::shared_ptr<std::vector<torch::Tensor>> read_;
  const ExampleSet& examples_;
  std::int64_t limit_, used_ = 0;
  std::optional<io::TemporaryFolder> folder_;  // of the files
  std::vector<Group> groups_;
  std::vector<std::pair<std::size_t, std::int64_t>> place_;  // by example: its group, and its row there
};

}  // namespace vene::train
