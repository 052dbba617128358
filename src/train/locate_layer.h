// SPDX-License-Identifier: Apache-2.0
// The cells of one layer, trained together. Private to train.
#pragma once
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "src/train/locate_names.h"
#include "vene/core/plan.h"
#include "vene/hooks/site.h"
#include "vene/interventions/rotated.h"

namespace vene::detail {

/// Where a layer's cells are, and what the frozen model gives up to there, computed once for every name.
struct LocateLayer {
  std::int64_t layer = 0;                     ///< as the grid counts
  Site site;                                  ///< read and written there
  std::optional<StartState> start;            ///< of every name, where the site is at or behind the first block
  const models::KeyValueCache* past = nullptr;  ///< every name's keys and values in every block
  torch::Tensor values;                       ///< [names, grid columns at or after the name, width], the site's
};

/// One direction a cell, all cells as rows of one batch: row c * pairs + i is pair i in cell c. Columns before the first cell are not run again: what
/// is behind them sees the keys and values that they have in the base's run.
class LayerTrainer {
 public:
  using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;
  /// @param columns  grid columns to train, all at or after the name
  LayerTrainer(std::shared_ptr<models::Model> model, const NamedRows& rows, const LocateLayer& layer, std::vector<std::int64_t> columns, const LocateOptions& options);
  /// Told after each step; returns false to stop, which throws PlanError.
  void fit(const Pairs& pairs, const std::function<bool()>& progress);
  /// [columns], float64: share of the pairs in which the source's answer beats the others.
  torch::Tensor evaluate(const Pairs& pairs);
  /// [columns, width], rows of length one.
  torch::Tensor directions() const { return bank_->directions.detach().clone(); }

 private:
  /// Logits [rows, vocabulary] of pairs in every cell.
  torch::Tensor logits(const torch::Tensor& bases, const torch::Tensor& sources);

  std::shared_ptr<models::Model> model_;
  const NamedRows& rows_;
  const LocateLayer& layer_;
  std::vector<std::int64_t> columns_;
  const LocateOptions& options_;
  std::int64_t pairs_;                 // at once
  std::shared_ptr<Directions> bank_;
  torch::Tensor cell_, value_column_;  // [rows], of each row
  torch::Tensor source_;               // [rows, 1, width], of the run at hand
  std::optional<StartState> start_;    // of every name, from the first cell's column on
  std::vector<std::pair<torch::Tensor, torch::Tensor>> past_;  // keys and values before it, by block; empty: there are none
  std::optional<Plan> plan_;
  models::Batch shape_;                // what the plan was compiled for
};

}  // namespace vene::detail
