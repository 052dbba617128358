// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/pairs.h"

namespace vene {

/// What is put in a unit's place, at every position of the clean text.
enum class AblationKind : std::uint8_t {
  kZero,
  kMean,             ///< its own mean over texts
  kResampleCorrupt,  ///< what it is in the corrupt text
  kResampleData,     ///< what it is in another text, drawn for each pair
};
/// What is ablated: components of a layer; heads, as head_attention_value_output has them; neurons of mlp_activation.
enum class AblationUnit : std::uint8_t { kLayer, kHead, kNeuron };
VENE_API std::string name_of(AblationKind kind);  ///< "zero", "mean", "resample corrupt", "resample data"
VENE_API std::string name_of(AblationUnit unit);  ///< "layer", "head", "neuron"
/// ConfigError for a name that is none of them.
VENE_API AblationUnit parse_ablation_unit(const std::string& name);

struct AblateOptions {
  AblationKind kind = AblationKind::kZero;
  /// Token ids of texts: those of the mean, over all of their tokens, and those that other texts are drawn from.
  std::vector<std::vector<std::int64_t>> data{};
  bool positional = false;  ///< a mean for each position, over the texts that have it
  std::vector<AblationUnit> units{AblationUnit::kLayer, AblationUnit::kHead};
  /// Of kLayer; empty: attention_output and mlp_output.
  std::vector<std::string> components{};
  std::vector<std::int64_t> layers{};  ///< empty: all; neurons need some
  /// So many units are ablated, each beside those before it: always the one that harms the metric least. 0: one at a
  /// time.
  std::int64_t greedy = 0;
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  std::int64_t bootstrap = 0;       ///< resamples of the pairs for the intervals; 0: none
  std::uint64_t seed = 1;           ///< of those, and of the texts that are drawn
  std::int64_t rows_per_batch = 0;  ///< 0: chosen by memory
  std::function<bool(std::size_t done, std::size_t all)> progress{};  ///< of runs; false stops
};

struct Ablation {
  struct Unit {
    AblationUnit kind = AblationUnit::kLayer;
    std::string component{};  ///< of a head attention_output, of a neuron mlp_activation
    std::int64_t layer = 0;
    std::int64_t index = -1;  ///< of the head or the neuron; -1: neither
    torch::Tensor values{};   ///< [pairs] float64: the metric without it (greedy: and without those before it)
    /// Of the means over pairs, the middle 95 % of the resamples; NaN without
    double value_low = 0, value_high = 0, change_low = 0, change_high = 0;
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::string dtype{};
  AblationKind kind = AblationKind::kZero;
  bool positional = false;
  std::size_t texts = 0;  ///< of the data
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  std::int64_t greedy = 0;
  std::int64_t bootstrap = 0;
  std::uint64_t seed = 1;
  std::vector<PromptPair> pairs{};  ///< with the texts that were drawn as the corrupt ones
  torch::Tensor clean{};            ///< [pairs] float64: the metric of the clean run
  std::vector<Unit> units{};        ///< greedy: those that were chosen, in their order

  double value(const Unit& unit) const { return unit.values.mean().item<double>(); }
  double change(const Unit& unit) const { return value(unit) - clean.mean().item<double>(); }
};

/// Throws ConfigError for options that lack something, pairs that cannot be aligned and units that are not there;
/// PlanError when `progress` stops it.
VENE_API Ablation ablate(const models::LanguageModel& model, const std::vector<PromptPair>& pairs,
                         const AblateOptions& options = {});

/// Texts of a file: a line each, empty ones skipped. Of a name that ends in .jsonl, lines are JSON: a text or a list of
/// token ids.
VENE_API std::vector<std::vector<std::int64_t>> read_texts(const std::string& path, const models::LanguageModel& model);

/// component,layer,head,neuron,value,change of the means; fields that do not apply are empty. With intervals
/// value_low,value_high,change_low,change_high too.
VENE_API std::string ablate_csv(const Ablation& ablation);
/// The same of every pair, which is the first column, from 0.
VENE_API std::string ablate_pairs_csv(const Ablation& ablation);
/// Everything needed to repeat it, and every figure.
VENE_API std::string ablate_json(const Ablation& ablation);

}  // namespace vene
