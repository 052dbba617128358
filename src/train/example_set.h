// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "vene/train/example.h"

namespace vene::train {

/// Examples, joined once: all of one shape lie in the same tensors, so that a batch is a few selections of rows.
class ExampleSet {
 public:
  /// PlanError for an example without labels or with more than one row.
  explicit ExampleSet(const std::vector<Example>& examples);
  /// As train::batches.
  std::vector<std::vector<std::size_t>> batches(std::int64_t batch_size, std::optional<std::uint64_t> seed) const;
  /// As train::join, for examples of one shape.
  ExampleBatch pick(const std::vector<std::size_t>& rows) const;
  /// The request of a batch as it is compiled: masks on the CPU.
  static RunRequest for_compiling(const ExampleBatch& batch);
  std::size_t size() const { return shape_of_.size(); }

 private:
  std::vector<ExampleBatch> shapes_;
  std::vector<std::size_t> shape_of_;  // by example
  std::vector<std::int64_t> row_of_;   // by example, in its shape
};

}  // namespace vene::train
