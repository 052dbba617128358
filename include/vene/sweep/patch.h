// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/pairs.h"

namespace vene {

enum class PatchDirection : std::uint8_t {
  kDenoise,  ///< the clean run's value into the corrupt run: what is enough to bring the answer back
  kNoise,    ///< the corrupt run's value into the clean run: what is needed for the answer
};
enum class PatchAxes : std::uint8_t { kLayerPosition, kLayerHead, kLayerHeadPosition, kLayer };
/// "denoise", "noise"; "layer,position", "layer,head", "layer,head,position", "layer".
VENE_API std::string name_of(PatchDirection direction);
VENE_API std::string name_of(PatchAxes over);
VENE_API PatchAxes parse_patch_axes(const std::string& name);

/// An interchange grid: one value of the one run at a time is put into the other (activation patching).
struct PatchOptions {
  PatchDirection direction = PatchDirection::kDenoise;
  /// Cells: all combinations of these. Without the position a cell exchanges all positions at once.
  PatchAxes over = PatchAxes::kLayerPosition;
  /// Empty: block_output, attention_output and mlp_output; with heads attention_output, whose heads are those of
  /// head_attention_value_output.
  std::vector<std::string> components{};
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  std::int64_t bootstrap = 0;       ///< resamples of the pairs for the intervals; 0: none
  std::uint64_t seed = 1;           ///< of those
  std::int64_t rows_per_batch = 0;  ///< 0: chosen by memory
  std::function<bool(std::size_t done, std::size_t all)> progress{};  ///< of runs; false stops
};

struct VENE_API PatchGrid {
  struct Map {
    std::string component{};
    torch::Tensor values{};  ///< [layers, heads or 1, positions or 1, pairs], float64: the metric
    /// Of the means over pairs [layers, heads or 1, positions or 1], the middle 95 % of the resamples; undefined
    /// without
    torch::Tensor value_low{}, value_high{}, effect_low{}, effect_high{};
    torch::Tensor mean() const { return values.mean(-1); }
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::string dtype{};
  PatchDirection direction = PatchDirection::kDenoise;
  PatchAxes over = PatchAxes::kLayerPosition;
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  std::int64_t bootstrap = 0;
  std::uint64_t seed = 1;
  std::vector<PromptPair> pairs{};
  std::vector<std::string> positions{};  ///< their names or numbers; empty without that axis
  /// The token of each position, of the clean texts; empty where it differs between pairs. UTF-8.
  std::vector<std::string> tokens{};
  torch::Tensor clean{}, corrupt{};  ///< [pairs] float64, the metric of both runs
  std::vector<Map> maps{};

  /// The metric of the runs that are written into, and of those that the values come from: [pairs].
  const torch::Tensor& from() const { return direction == PatchDirection::kDenoise ? corrupt : clean; }
  const torch::Tensor& to() const { return direction == PatchDirection::kDenoise ? clean : corrupt; }
  /// (value - from) / (to - from) of the means over pairs: 0 where nothing came through, 1 where all did; NaN where
  /// both runs have the same metric.
  torch::Tensor effect(const Map& map) const;
};

/// Throws ConfigError for pairs without a corrupt text or with texts that cannot be aligned (of different lengths
/// without named positions), a metric without its answers and components that are not in layers; PlanError when
/// `progress` stops it.
VENE_API PatchGrid patch(const models::LanguageModel& model, const std::vector<PromptPair>& pairs,
                         const PatchOptions& options = {});

/// component,layer,head,position,token,value,effect of the means, fields of axes that are absent empty; with intervals
/// value_low,value_high,effect_low,effect_high too.
VENE_API std::string patch_csv(const PatchGrid& grid);
/// The same of every pair, which is the first column, from 0.
VENE_API std::string patch_pairs_csv(const PatchGrid& grid);
/// Everything needed to repeat it, and every figure.
VENE_API std::string patch_json(const PatchGrid& grid);

}  // namespace vene
