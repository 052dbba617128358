// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/gather.h"

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

// Row r's entries, or the only row's.
const std::vector<std::int64_t>& entries(const AxisIndices& indices, std::int64_t row) {
  return indices[indices.size() == 1 ? 0 : row];
}

std::int64_t longest(const AxisIndices& indices) {
  std::size_t most = 0;
  for (const auto& row : indices) most = std::max(most, row.size());
  return static_cast<std::int64_t>(most);
}

std::size_t find_axis(const std::vector<Axis>& axes, Axis wanted) {
  return static_cast<std::size_t>(std::find(axes.begin(), axes.end(), wanted) - axes.begin());
}

torch::Tensor to_tensor(const std::vector<std::int64_t>& values, torch::Device device) {
  return torch::tensor(values, torch::kInt64).to(device);
}

}  // namespace

UnitIndex::UnitIndex(const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes, Unit unit,
                     const AxisIndices& first, const AxisIndices& second, std::int64_t rows, torch::Device device,
                     const std::string& where)
    : sizes_(sizes) {
  std::vector<std::size_t> chosen;  // axes that the unit indexes
  auto choose = [&](Axis axis) {
    const std::size_t found = find_axis(axes, axis);
    if (found + 1 < axes.size()) {
      chosen.push_back(found);
      return;
    }
    std::vector<std::string> names;
    for (Axis present : axes) names.push_back(axis_name(present));
    throw LocationError(where + ": the unit needs a " + axis_name(axis) + " axis, but the value's axes are " +
                        join(names) + (axis == Axis::kHead ? " (heads are at the components named head_*)" : ""));
  };
  if (unit != Unit::kPos) choose(Axis::kHead);
  if (unit != Unit::kHead) choose(Axis::kPos);

  const std::int64_t value_rows = sizes[0];
  if (value_rows != rows && value_rows != 1) {
    throw LocationError(where + ": the value has " + std::to_string(value_rows) + " rows, the locations " +
                        std::to_string(rows));
  }
  std::vector<std::int64_t> strides(axes.size() - 1, 1);  // in slices of the last axis
  for (std::size_t i = axes.size() - 1; i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  shape_.push_back(rows);
  shape_.push_back(longest(first));
  if (unit == Unit::kHeadPos) shape_.push_back(longest(second));
  std::vector<std::size_t> rest;  // axes that are kept whole
  for (std::size_t i = 1; i + 1 < axes.size(); ++i) {
    if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) rest.push_back(i);
  }
  std::vector<std::int64_t> rest_offsets{0};
  for (std::size_t axis : rest) {
    shape_.push_back(sizes[axis]);
    std::vector<std::int64_t> wider;
    for (std::int64_t offset : rest_offsets) {
      for (std::int64_t i = 0; i < sizes[axis]; ++i) wider.push_back(offset + i * strides[axis]);
    }
    rest_offsets = std::move(wider);
  }

  static const AxisIndices kOne{{0}};
  const AxisIndices& inner = unit == Unit::kHeadPos ? second : kOne;
  const std::int64_t inner_stride = unit == Unit::kHeadPos ? strides[chosen[1]] : 0;
  auto in_range = [&](std::int64_t index, std::size_t axis) {
    if (index >= 0 && index < sizes[axis]) return;
    throw LocationError(where + ": " + axis_name(axes[axis]) + " " + std::to_string(index) +
                        " is out of range: the value has " + std::to_string(sizes[axis]));
  };
  std::vector<std::int64_t> flat, written, kept;
  std::vector<std::uint8_t> valid;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t row_offset = value_rows == 1 ? 0 : row * strides[0];
    const auto& outer_entries = entries(first, row);
    const auto& inner_entries = entries(inner, row);
    counts_.emplace_back(outer_entries.size(), inner_entries.size());
    std::vector<std::int64_t> seen;
    for (std::int64_t a = 0; a < shape_[1]; ++a) {
      for (std::int64_t c = 0; c < longest(inner); ++c) {
        const bool outer_there = a < static_cast<std::int64_t>(outer_entries.size()),
                   inner_there = c < static_cast<std::int64_t>(inner_entries.size());
        const bool there = outer_there && inner_there;
        std::int64_t offset = row_offset;
        if (!outer_entries.empty() && !inner_entries.empty()) {
          const std::int64_t outer_entry = outer_entries[outer_there ? a : 0],
                             inner_entry = inner_entries[inner_there ? c : 0];
          in_range(outer_entry, chosen[0]);
          if (unit == Unit::kHeadPos) in_range(inner_entry, chosen[1]);
          offset += outer_entry * strides[chosen[0]] + inner_entry * inner_stride;
          if (there) seen.push_back(offset);
        }
        valid.push_back(there ? 1 : 0);
        for (std::int64_t rest_offset : rest_offsets) {
          if (there) {
            kept.push_back(static_cast<std::int64_t>(flat.size()));
            written.push_back(offset + rest_offset);
          }
          flat.push_back(offset + rest_offset);
        }
      }
    }
    std::sort(seen.begin(), seen.end());
    if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) repeats_ = true;
  }
  flat_ = to_tensor(flat, device);
  scatter_ = to_tensor(written, device);
  if (written.size() != flat.size()) {
    kept_ = to_tensor(kept, device);
    std::vector<std::int64_t> valid_shape(shape_.begin(), shape_.begin() + (unit == Unit::kHeadPos ? 3 : 2));
    valid_ = torch::tensor(valid, torch::kUInt8).to(torch::kBool).view(valid_shape).to(device);
  }
}

torch::Tensor UnitIndex::gather(const torch::Tensor& value) const {
  if (whole()) return value;
  const std::int64_t width = value.size(-1);
  std::vector<std::int64_t> shape = shape_;
  shape.push_back(width);
  return value.reshape({-1, width}).index_select(0, flat_).view(shape);
}

torch::Tensor UnitIndex::scatter(const torch::Tensor& value, const torch::Tensor& units) const {
  if (whole()) return units;
  const std::int64_t width = value.size(-1);
  torch::Tensor rows = units.reshape({-1, width});
  if (kept_.defined()) rows = rows.index_select(0, kept_);
  return value.reshape({-1, width}).index_copy(0, scatter_, rows).view(value.sizes());
}

void check_counts(const UnitIndex::Counts& source, const UnitIndex::Counts& base, const std::string& where) {
  if (source.empty() || base.empty()) return;
  for (std::size_t row = 0; row < base.size(); ++row) {
    const auto [from, from_inner] = source[source.size() == 1 ? 0 : row];
    const auto [to, to_inner] = base[row];
    const auto fits = [](std::int64_t read, std::int64_t written) {
      return read == written || (read == 1 && written > 0);
    };
    if (fits(from, to) && fits(from_inner, to_inner)) continue;
    const auto text = [](std::int64_t outer, std::int64_t inner) {
      return inner == 1 ? std::to_string(outer) : std::to_string(outer) + " x " + std::to_string(inner);
    };
    throw LocationError(where + ", row " + std::to_string(row) + ": " + text(from, from_inner) + " source units for " +
                        text(to, to_inner) + " base units; expected as many, or one for all");
  }
}

torch::Tensor split_heads(const torch::Tensor& value, const Site& site) {
  if (!site.packed_heads) return value;
  std::vector<std::int64_t> shape = value.sizes().vec();
  shape.back() = site.heads;
  shape.push_back(-1);
  return value.reshape(shape);
}

torch::Tensor join_heads(const torch::Tensor& value, const Site& site) {
  return site.packed_heads ? value.flatten(-2) : value;
}

std::vector<Axis> value_axes(const Site& site, std::int64_t rank) {
  if (!site.axes.empty() && static_cast<std::int64_t>(site.axes.size()) == rank) return site.axes;
  switch (rank) {
    case 2:
      return {Axis::kBatch, Axis::kFeature};
    case 3:
      return {Axis::kBatch, Axis::kPos, Axis::kFeature};
    case 4:
      return {Axis::kBatch, Axis::kHead, Axis::kPos, Axis::kFeature};
    default:
      throw LocationError(site_text(site) + ": locations need a value of 2 to 4 dimensions, this one has " +
                          std::to_string(rank) + "; give no locations to act on the whole of it");
  }
}

}  // namespace vene
