// SPDX-License-Identifier: Apache-2.0
// The cells of a grid of layers x positions, read and trained. Private to train.
#pragma once
#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/train/locate_names.h"
#include "vene/hooks/hook_scope.h"
#include "vene/hooks/site.h"
#include "vene/interventions/rotated.h"

namespace vene::detail {

/// A row of the grid: where its cells are, and the frozen model's values there and in front of the block that makes
/// them, for every name.
struct LocateRow {
  std::int64_t layer = 0;  ///< as the grid counts
  Site site;               ///< read and written there
  std::int64_t stage = 0;  ///< the block that a row enters at, or their number for the end
  bool at_entry =
      false;  ///< the site's values are what goes into the stage: they are exchanged before it, without a hook
  torch::Tensor hidden;  ///< [names, pos, width], what goes into the stage
  torch::Tensor values;  ///< [names, pos, width] at the site, of the head alone where one is asked for
};

/// What the frozen model computes for every name, once.
struct LocateValues {
  std::vector<LocateRow> rows;  ///< by stage
  models::KeyValueCache past;   ///< keys and values in every block
  models::StageState state;     ///< mask and positions
};

/// What is looked into of a site's value [rows, pos, feature]: all of it, or one head.
torch::Tensor looked_into(const torch::Tensor& value, const Site& site, const LocateOptions& options);

/// Runs every name through the model. PlanError for a component that is not among the stages.
LocateValues read_values(models::StagedModel& model, const NamedRows& names, const LocateOptions& options,
                         const std::vector<std::int64_t>& layers);

/// One direction a cell, for some layers at one position: each pair is a row for every one of them. A row enters at its
/// own layer's block, and is run from its position on; what comes before keeps the keys and values of the base. What is
/// minimised is the cross entropy of the source's class among the classes' answers, so that no other token's logit is
/// computed.
class CellTrainer {
 public:
  using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;
  /// @param rows    which of the values' rows
  /// @param column  of the grid, at or after the name
  CellTrainer(models::StagedModel& model, const NamedRows& names, const LocateValues& values,
              std::vector<std::size_t> rows, std::int64_t column, const LocateOptions& options);
  /// Told after each step; returns false to stop, which throws PlanError.
  void fit(const Pairs& pairs, const std::function<bool()>& progress);
  /// [rows], float64: share of the pairs in which the source's answer beats the others.
  torch::Tensor evaluate(const Pairs& pairs);
  /// [rows, width], of length one.
  torch::Tensor directions() const { return bank_->directions.detach().clone(); }

 private:
  /// Logits [rows * pairs, classes] of the classes' answers, those of a row together.
  torch::Tensor logits(const torch::Tensor& bases, const torch::Tensor& sources);
  /// Values [pairs, pos, width] of row `index`, at the first position that is run exchanged along its direction with
  /// the sources'.
  torch::Tensor exchanged(const torch::Tensor& values, std::size_t index, const torch::Tensor& sources);
  const LocateRow& row(std::size_t index) const { return values_.rows[rows_[index]]; }

  models::StagedModel& model_;
  const NamedRows& names_;
  const LocateValues& values_;
  std::vector<std::size_t> rows_;
  std::int64_t begin_;  // the column as the batch counts
  const LocateOptions& options_;
  std::shared_ptr<Directions> bank_;
  torch::Tensor answers_, classes_;
  torch::Tensor numbers_;                                      // 0, 1, ... for every row and position, on the device
  bool hooks_at_end_ = false;                                  // exchanges behind the last block
  std::vector<torch::Tensor> hidden_;                          // by row: from the column on
  std::vector<std::pair<torch::Tensor, torch::Tensor>> past_;  // by block: before it
};

}  // namespace vene::detail
