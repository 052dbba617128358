// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/intervenable_model.h"

namespace vene {

/// What one cell of a sweep does at one representation of the sweep's config.
struct CellWrite {
  std::size_t representation = 0;
  std::vector<std::int64_t> positions{};         ///< within the text of the base row
  std::vector<std::int64_t> heads{};             ///< for unit "h.pos"
  std::vector<std::int64_t> source_positions{};  ///< in the source; empty: the same as `positions`
  /// Columns of the value (or parts of the representation's subspace partition) that are written; empty: all.
  std::vector<std::int64_t> subspace{};
};

/// One run of a sweep: some writes on one row of the base.
struct Cell {
  std::int64_t base_row = 0;
  std::vector<CellWrite> writes{};
};

/// Many small interventions on few prompts.
struct Sweep {
  IntervenableConfig config{};  ///< every representation that a cell may use; units "pos" and "h.pos"
  models::Batch base{};         ///< [rows, pos]
  /// Read by every representation that needs a source: one row for all, or one a base row, which may be padded too.
  std::optional<models::Batch> source{};
  /// What is read instead of the source's run, such as means: one a representation, or none at all; undefined: the
  /// source's run. A value as the site has it, [1 or rows of base, positions, ...]; one position serves any number.
  std::vector<torch::Tensor> source_values{};
  /// Interventions that act in every cell, such as noise on the embeddings, and the constants they add: one a
  /// representation of `background`, [rows of base, units, width].
  IntervenableConfig background{};
  std::vector<torch::Tensor> background_sources{};
  Locations background_locations{};
  std::vector<Cell> cells{};
  /// Positions that `metric` reads; the logits are computed there only. Empty: the last.
  std::vector<std::int64_t> logit_positions{};
};

struct SweepOptions {
  std::int64_t rows_per_batch = 0;                ///< 0: as many as `memory` allows, 512 at most
  std::int64_t memory = std::int64_t{512} << 20;  ///< bytes that a batch's activations may take
  /// Told how many cells are done; returns false to stop, and `run_sweep` throws PlanError.
  std::function<bool(std::size_t done, std::size_t all)> progress{};
};

/// What the metric makes of the logits [rows, positions, vocabulary] of some cells: [rows] or [rows, values].
using SweepMetric = std::function<torch::Tensor(const torch::Tensor& logits)>;

/// Whose logits they are: rows of the base (with a cell's writes or without), or of the source.
struct SweepRows {
  bool source = false;
  std::vector<std::int64_t> rows{};
};
/// A metric that differs from row to row, as with pairs of prompts that have answers of their own.
using SweepRowMetric = std::function<torch::Tensor(const torch::Tensor& logits, const SweepRows& rows)>;

struct SweepResult {
  torch::Tensor values{};      ///< the metric of each cell, [cells] or [cells, values], on the CPU
  torch::Tensor background{};  ///< the metric of each base row with the background alone
  torch::Tensor source{};      ///< the metric of each source row; undefined without a source
};

/// Runs every cell as a row of wide batches over a staged model. The source runs once. What lies below a cell's first
/// write, and before its first written position, is computed once a base row: a cell joins its batch at its own block,
/// and is run from its own position on over the keys and values kept of its base (from the start where the model reads
/// ahead or attention scores are written). Logits only where the metric reads. Equal to running cells one by one.
VENE_API SweepResult run_sweep(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepMetric& metric,
                               const SweepOptions& options = {});
VENE_API SweepResult run_sweep(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepRowMetric& metric,
                               const SweepOptions& options = {});

}  // namespace vene
