// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/load.h"
#include "vene/sweep/pairs.h"

namespace vene {

/// A name that stands in a spec, and what takes its place, one value after the other.
struct SweepAxis {
  std::string name{};
  std::vector<std::string> values{};  ///< texts as they are, everything else as JSON
};

/// A grid of experiments: every combination of the values of its axes, the last axis the fastest.
struct VENE_API SweepTable {
  /// A cell that could not be run, and why; its values are NaN.
  struct Failure {
    std::size_t cell = 0;
    std::string message{};
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::string dtype{};
  std::string spec{};  ///< the JSON, as it was given
  std::vector<SweepAxis> axes{};
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  torch::Tensor values{};  ///< [cells, rows of the base], float64: the metric of the intervened runs
  torch::Tensor base{};    ///< the same shape: of the base without interventions
  std::vector<Failure> failures{};
  std::size_t joined = 0;  ///< how many cells ran as rows of wide batches; the others ran one by one

  std::size_t cells() const { return static_cast<std::size_t>(values.size(0)); }
  /// Which value of each axis a cell has.
  std::vector<std::size_t> place(std::size_t cell) const;
  /// "layer=3, position=2"
  std::string label(std::size_t cell) const;
};

struct SweepSpecOptions {
  std::int64_t rows_per_batch = 0;                                    ///< 0: chosen by memory
  std::function<bool(std::size_t done, std::size_t all)> progress{};  ///< of cells; false stops with a PlanError
};

/// Runs a spec: an experiment (docs/experiment.md) with "$NAME" in place of values, "axes" with the values of each
/// NAME, and a "metric"; docs/sweep.md describes the JSON. Cells that write at positions or heads behind the first
/// block, without parameters of their own, run as rows of wide batches (run_sweep); the others one by one, with the
/// same figures.
/// @param folder  relative paths in the spec are looked up from here
/// Throws ConfigError with the place of what is wrong in the spec; what is wrong in a single cell is one of `failures`.
VENE_API SweepTable run_sweep_spec(std::string_view json, const models::LanguageModel& model,
                                   const std::string& folder = ".", const SweepSpecOptions& options = {});

/// A column an axis, then value and base: means over the rows of the base; failed cells have empty fields.
VENE_API std::string sweep_csv(const SweepTable& table);
/// The same of every row, whose number, from 0, is the column behind the axes.
VENE_API std::string sweep_rows_csv(const SweepTable& table);
/// Everything needed to repeat it, and every figure.
VENE_API std::string sweep_json(const SweepTable& table);

}  // namespace vene
