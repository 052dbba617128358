// SPDX-License-Identifier: Apache-2.0
// The names of a task as rows of one batch. Private to train.
#pragma once
#include <torch/types.h>

#include "vene/models/model.h"
#include "vene/train/locate.h"

namespace vene::detail {

/// Every name that is used, in its text, padded on the left so that what stands after the name is in the same columns
/// of every row.
struct NamedRows {
  models::Batch batch;  ///< [names, pos], on the model's device; a mask only where lengths differ
  std::vector<std::string> names;
  std::vector<std::int64_t> classes;      ///< of each row
  std::vector<std::string> tokens;        ///< labels of the grid's columns: before the name, its last token, after it
  std::int64_t before = 0;                ///< grid columns before the name
  std::vector<std::int64_t> train, test;  ///< rows
  std::vector<std::int64_t> answers;      ///< token ids, one a class
  /// Column of the batch that a grid column (at or after `before`) is.
  std::int64_t batch_column(std::int64_t column) const {
    return batch.positions() - static_cast<std::int64_t>(tokens.size()) + column;
  }
};

/// Tokenises, aligns, asks the model, splits; fills the result's classes, tokens and clean accuracy.
NamedRows named_rows(const models::LanguageModel& model, LocateResult& result);

/// Pairs (base, source) of rows of different classes, shuffled, `most` at most.
std::vector<std::pair<std::int64_t, std::int64_t>> pairs_of(const std::vector<std::int64_t>& rows,
                                                            const std::vector<std::int64_t>& classes, std::int64_t most,
                                                            std::uint64_t seed);

}  // namespace vene::detail
