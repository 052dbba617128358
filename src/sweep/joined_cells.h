// SPDX-License-Identifier: Apache-2.0
// Experiments that share their inputs, as cells of one sweep. Private to the library.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/sweep/pair_runs.h"
#include "vene/core/experiment.h"
#include "vene/locations/resolve.h"
#include "vene/sweep/sweep.h"

namespace vene::detail {

class JoinedCells {
 public:
  /// @param shell  an experiment with the inputs of all
  /// @param runs   its base rows (and its source, where it has one) as pairs
  JoinedCells(const Experiment& shell, const PairRuns& runs, const models::LanguageModel& model);

  /// Takes an experiment, or leaves it where it is no cell of a sweep: it would say something else there, or nothing.
  /// @param written  the config as JSON: many cells share one
  bool take(std::size_t cell, const std::string& written, const IntervenableConfig& config, const Locations& locations);
  /// The metric of each cell that was taken: [rows of the base].
  std::map<std::size_t, torch::Tensor> run(const SweepOptions& options) const;
  std::size_t count() const { return cells_.size(); }

 private:
  // A config that was met, and where its representations are in the sweep's; none: it is not for sweeps.
  using Known = std::optional<std::vector<std::size_t>>;
  Known known(const IntervenableConfig& config);
  // Of each row; none: not for sweeps.
  std::optional<std::vector<std::vector<CellWrite>>> writes_of(const IntervenableConfig& config,
                                                               const Locations& locations,
                                                               const std::vector<std::size_t>& representations) const;

  const PairRuns& runs_;
  const models::LanguageModel& model_;
  bool possible_ = false, has_source_ = false;
  RowTexts base_texts_, source_texts_;
  Sweep sweep_;
  std::map<std::string, Known> configs_;
  // By cell: which run of the sweep each row is; none: the row is left alone.
  std::map<std::size_t, std::vector<std::optional<std::size_t>>> cells_;
};

}  // namespace vene::detail
