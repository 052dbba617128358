// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// One part of a subspace partition: the columns it holds. JSON [a, b] is the range a..b-1, any other list is taken as
/// columns, {"columns": [3, 4]} says so outright.
using SubspacePart = std::vector<std::int64_t>;
using SubspacePartition = std::vector<SubspacePart>;

/// The ids given for one intervention: columns, or parts where the intervention has a partition. One list for every
/// row, or one list a row.
struct SubspaceIds {
  std::vector<std::vector<std::int64_t>> rows{};  ///< size 1: the same for every row
  bool operator==(const SubspaceIds&) const = default;
};

/// Columns that an intervention acts on, ready for use. Undefined columns: all of them.
struct Subspace {
  torch::Tensor columns{};  ///< int64, [m] the same for every row, or [batch, m]
  torch::Tensor valid{};    ///< bool [batch, m] where rows have different counts, else undefined
  bool all() const { return !columns.defined(); }
};

/// Expands ids through a partition (empty: ids are columns), checks them against `width`, and moves them to `device`.
/// Negative ids count from the end. Throws LocationError. `where` names the intervention in messages.
VENE_API Subspace compile_subspace(const SubspaceIds& ids, const SubspacePartition& partition, std::int64_t width,
                                   std::int64_t batch, torch::Device device, const std::string& where);

}  // namespace vene
