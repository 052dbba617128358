// SPDX-License-Identifier: Apache-2.0
// Pairs of prompts as the base and the source of a sweep, and what is measured of them. Private to the library.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vene/sweep/pairs.h"
#include "vene/sweep/sweep.h"

namespace vene::detail {

/// Pairs that run together: texts of both kinds padded on the left to one length, so that what ends a text is in the
/// last column.
class PairRuns {
 public:
  PairRuns(std::vector<PromptPair> pairs, AnswerMetric metric, models::Model& model);

  const std::vector<PromptPair>& pairs() const { return pairs_; }
  models::Batch clean() const { return clean_; }
  models::Batch corrupt() const { return corrupt_; }
  /// Columns that hold the answer position of some text.
  const std::vector<std::int64_t>& logit_columns() const { return columns_; }
  /// @param base_is_clean  the sweep's base rows are the clean texts, and its source's the corrupt ones; or otherwise
  SweepRowMetric metric(bool base_is_clean) const;

 private:
  models::Batch batch(bool clean) const;
  std::int64_t column(const PromptPair& pair, bool clean) const;

  std::vector<PromptPair> pairs_;
  AnswerMetric metric_;
  std::int64_t width_ = 0;
  models::Batch clean_, corrupt_;
  std::vector<std::int64_t> columns_;
  torch::Tensor reference_;  // log-probabilities of the clean runs [pairs, vocabulary], for kKl
  torch::Device device_;
};

/// ConfigError naming the first pair that lacks the answers that the metric needs.
void check_metric(const std::vector<PromptPair>& pairs, AnswerMetric metric);

/// Runs of pairs of which each keeps what a sweep keeps of its base rows within some memory.
/// @param sites  how many values are read of each source row
std::vector<std::vector<PromptPair>> in_chunks(const std::vector<PromptPair>& pairs, const models::Model& model,
                                               std::size_t sites);

/// The component's site where its heads are apart: attention_output's is head_attention_value_output, query_output's
/// head_query_output. ConfigError for one that has none.
std::string head_component(const models::Model& model, const std::string& component);

}  // namespace vene::detail
