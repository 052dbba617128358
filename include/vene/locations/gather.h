// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/site.h"
#include "vene/locations/resolve.h"

namespace vene {

/// The places of each row's own text along an axis: row i has [begin[i], end[i]). Empty: every row has all of it.
struct RowSpans {
  std::vector<std::int64_t> begin{}, end{};
  bool empty() const noexcept { return begin.empty(); }
  std::int64_t count(std::int64_t row) const { return end[row] - begin[row]; }
};

/// Where one intervention acts at one site, as index tensors for a value of known sizes. Compiled once, used by every
/// firing.
class VENE_API UnitIndex {
 public:
  /// The whole value; and one whose rows all have so many positions.
  UnitIndex() = default;
  UnitIndex(std::int64_t rows, std::int64_t positions) : counts_(static_cast<std::size_t>(rows), {positions, 1}) {}
  /// @param axes    of the value with its head axis split off: a permutation of batch, pos, head (or key), ending in
  /// the feature
  /// @param sizes   of those axes
  /// @param unit    kPos, kHead or kHeadPos
  /// @param first   heads for kHead and kHeadPos, positions for kPos
  /// @param second  positions for kHeadPos
  /// @param rows    rows of the value read; 1 where `first`'s rows all read the same row of a single source
  /// @param own    positions of each row's text, where the unit leaves the positions whole
  /// @param keys   the same along the last axis, where that runs over keys
  UnitIndex(const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes, Unit unit, const AxisIndices& first,
            const AxisIndices& second, std::int64_t rows, torch::Device device, const std::string& where,
            const RowSpans& own = {}, const RowSpans& keys = {});
  /// The whole value of each row's own text, its axes in their order: [rows, axes..., width].
  static UnitIndex of_rows(const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes, const RowSpans& own,
                           const RowSpans& keys, std::int64_t rows, torch::Device device);

  bool whole() const noexcept { return !flat_.defined(); }
  /// Whether any row selects anything.
  bool any() const noexcept { return whole() || scatter_.numel() > 0; }
  /// Units of each row that are really there: bool [rows, units...]; undefined: all of them.
  const torch::Tensor& valid() const noexcept { return valid_; }
  /// Whether a row lists a unit twice: fine to read, ambiguous to write.
  bool repeats() const noexcept { return repeats_; }
  /// How many units each row lists, and how many positions: of kPos and of rows' own texts the second is 1. Empty where
  /// that is not known, and all is taken.
  using Counts = std::vector<std::pair<std::int64_t, std::int64_t>>;
  const Counts& counts() const noexcept { return counts_; }
  /// How many keys each row has of its own; empty: all that the value has.
  const std::vector<std::int64_t>& key_counts() const noexcept { return key_counts_; }

  /// [rows, units..., remaining axes..., width], a new tensor. Missing units of ragged rows read the first that the row
  /// lists; missing keys read what a padded one holds.
  /// @param value of the sizes that the index was made for, its head axis split off
  torch::Tensor gather(const torch::Tensor& value) const;
  /// The value with the selected units replaced by `units` (gather's shape), out of place. Padding stays as it is.
  torch::Tensor scatter(const torch::Tensor& value, const torch::Tensor& units) const;

  const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }

 private:
  struct Axes;  // the axes of the gathered value
  void build(const Axes& axes, const std::vector<std::int64_t>& strides, const std::vector<std::int64_t>& value_sizes,
             std::int64_t rows, torch::Device device);
  void set_keys(const RowSpans& keys, std::int64_t rows, torch::Device device);

  std::vector<std::int64_t> sizes_;  // of the value
  std::vector<std::int64_t> shape_;  // of the gathered value, without the width
  torch::Tensor flat_;               // [product of shape_] indices of width-long slices of the value
  torch::Tensor scatter_;            // the same without the missing units
  torch::Tensor kept_;               // where in flat_ those are; undefined: everywhere
  torch::Tensor valid_;
  torch::Tensor keys_;      // [rows, most keys of a row] columns of the last axis; undefined: all of it
  torch::Tensor key_at_;    // [rows, columns] which of those a column is
  torch::Tensor key_real_;  // bool [rows, columns] whether it is one
  std::vector<std::int64_t> key_counts_;
  Counts counts_;
  bool repeats_ = false;
};

/// LocationError where a row reads another number of units than it writes; one unit serves any number. Nothing for the
/// whole value.
VENE_API void check_counts(const UnitIndex::Counts& source, const UnitIndex::Counts& base, const std::string& where);

/// A value with packed heads viewed as [batch, pos, head, width]; any other unchanged.
VENE_API torch::Tensor split_heads(const torch::Tensor& value, const Site& site);
/// And back.
VENE_API torch::Tensor join_heads(const torch::Tensor& value, const Site& site);

/// The axes of a value at a site: the site's own, or for a bare path what its rank suggests: [batch, feature],
/// [batch, pos, feature], [batch, head, pos, feature].
VENE_API std::vector<Axis> value_axes(const Site& site, std::int64_t rank);

}  // namespace vene
