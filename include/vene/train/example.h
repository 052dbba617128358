// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/plan.h"

namespace vene::train {

/// A token that the intervened run should put at a position.
struct Label {
  std::int64_t token = 0;      ///< for a classifier, the class
  std::int64_t position = -1;  ///< within the base's text; negative: from its end. A classifier's logits have none
};

/// One training example: what to run, where to intervene, and what should come out.
struct Example {
  models::Batch base{};                                 ///< one row
  std::vector<std::optional<models::Batch>> sources{};  ///< as in RunRequest, one row each
  Locations locations{};                                ///< for one row, or for every row
  std::vector<std::optional<SubspaceIds>> subspaces{};  ///< as in RunRequest, one row each
  std::vector<Label> labels{};
  std::optional<std::int64_t> rival{};  ///< the token that `logit_difference` sets the first label against
  /// What the model should put without the intervention, for `TrainOptions::task_weight`
  std::vector<Label> task_labels{};
  std::string name{};                          ///< in messages; empty: its number
  const text::Tokenizer* tokenizer = nullptr;  ///< for positions given as text
};

/// Examples joined to one run.
struct ExampleBatch {
  std::vector<std::size_t> rows{};  ///< which examples
  RunRequest request{};
  torch::Tensor positions{};       ///< [rows, labels] columns of the batch
  torch::Tensor tokens{};          ///< [rows, labels]
  torch::Tensor rivals{};          ///< [rows], or undefined
  torch::Tensor task_positions{};  ///< [rows, task labels], or undefined, as `positions` and `tokens`
  torch::Tensor task_tokens{};
  /// Attention masks on the CPU, the base's and then the sources', where those of `request` are on a device: compiling
  /// reads them, and need not wait for it.
  std::vector<torch::Tensor> masks{};
};

/// Joins examples of one shape. PlanError, naming the example, where they do not go together.
VENE_API ExampleBatch join(const std::vector<Example>& examples, const std::vector<std::size_t>& rows);

/// Cuts a data set into batches of examples that go together: in the order given without a seed, else shuffled by it
/// (the same on every machine). PlanError for an empty data set, and for an example without labels or with more than
/// one row.
VENE_API std::vector<std::vector<std::size_t>> batches(const std::vector<Example>& examples, std::int64_t batch_size,
                                                       std::optional<std::uint64_t> seed);

/// Whether every label is a token of the model, and every position within its row. PlanError naming the example.
VENE_API void check_labels(const std::vector<Example>& examples, const models::Model& model);

}  // namespace vene::train
