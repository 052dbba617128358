// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/gather.h"

#include <algorithm>
#include <limits>

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

// The axes of the gathered value behind its rows, in order.
struct UnitIndex::Axes {
  struct One {
    std::size_t axis;     // of the value
    AxisIndices indices;  // a list a row, or one for all
    bool by_row = false;  // rows may have different numbers of them
  };
  std::vector<One> list;
};

namespace {

AxisIndices all_of(std::int64_t size) {
  AxisIndices indices(1);
  for (std::int64_t i = 0; i < size; ++i) indices[0].push_back(i);
  return indices;
}

AxisIndices of_spans(const RowSpans& spans) {
  AxisIndices indices;
  for (std::size_t row = 0; row < spans.begin.size(); ++row) {
    indices.emplace_back();
    for (std::int64_t i = spans.begin[row]; i < spans.end[row]; ++i) indices.back().push_back(i);
  }
  return indices;
}

// In slices of the last axis.
std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size() - 1, 1);
  for (std::size_t i = sizes.size() - 1; i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  return strides;
}

bool lists_twice(std::vector<std::int64_t> list) {
  std::sort(list.begin(), list.end());
  return std::adjacent_find(list.begin(), list.end()) != list.end();
}

}  // namespace

UnitIndex::UnitIndex(const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes, Unit unit,
                     const AxisIndices& first, const AxisIndices& second, std::int64_t rows, torch::Device device,
                     const std::string& where, const RowSpans& own, const RowSpans& keys)
    : sizes_(sizes) {
  Axes chosen;
  auto choose = [&](Axis axis, const AxisIndices& indices) {
    const std::size_t found = find_axis(axes, axis);
    if (found + 1 >= axes.size()) {
      std::vector<std::string> names;
      for (Axis present : axes) names.push_back(axis_name(present));
      throw LocationError(where + ": the unit needs a " + axis_name(axis) + " axis, but the value's axes are " +
                          join(names) + (axis == Axis::kHead ? " (heads are at the components named head_*)" : ""));
    }
    chosen.list.push_back({found, indices, true});
  };
  if (unit != Unit::kPos) choose(Axis::kHead, first);
  if (unit != Unit::kHead) choose(Axis::kPos, unit == Unit::kPos ? first : second);
  if (sizes[0] != rows && sizes[0] != 1) {
    throw LocationError(where + ": the value has " + std::to_string(sizes[0]) + " rows, the locations " +
                        std::to_string(rows));
  }
  for (const Axes::One& one : chosen.list) {
    for (const auto& row : one.indices) {
      for (const std::int64_t index : row) {
        if (index >= 0 && index < sizes[one.axis]) continue;
        throw LocationError(where + ": " + axis_name(axes[one.axis]) + " " + std::to_string(index) +
                            " is out of range: the value has " + std::to_string(sizes[one.axis]));
      }
    }
  }
  std::int64_t positions = 1;  // of a row, where the unit leaves them whole
  for (std::size_t i = 1; i + 1 < axes.size(); ++i) {
    if (std::any_of(chosen.list.begin(), chosen.list.end(), [i](const Axes::One& one) { return one.axis == i; }))
      continue;
    const bool by_row = axes[i] == Axis::kPos && !own.empty();
    if (axes[i] == Axis::kPos) positions = sizes[i];
    chosen.list.push_back({i, by_row ? of_spans(own) : all_of(sizes[i]), by_row});
  }
  const AxisIndices& outer = chosen.list[0].indices;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto count = static_cast<std::int64_t>(entries(outer, row).size());
    const std::int64_t inner = unit == Unit::kHeadPos ? static_cast<std::int64_t>(entries(second, row).size())
                               : !own.empty()         ? own.count(row)
                                                      : positions;
    counts_.emplace_back(count, unit == Unit::kPos ? 1 : inner);
    const bool twice =
        lists_twice(entries(outer, row)) || (unit == Unit::kHeadPos && lists_twice(entries(second, row)));
    repeats_ = repeats_ || (twice && count > 0 && inner > 0);
  }
  build(chosen, strides_of(sizes), sizes, rows, device);
  set_keys(keys, rows, device);
}

UnitIndex UnitIndex::of_rows(const std::vector<Axis>& axes, const std::vector<std::int64_t>& sizes, const RowSpans& own,
                             const RowSpans& keys, std::int64_t rows, torch::Device device) {
  UnitIndex index;
  index.sizes_ = sizes;
  Axes chosen;
  std::int64_t positions = 1;
  for (std::size_t i = 1; i + 1 < axes.size(); ++i) {
    const bool by_row = axes[i] == Axis::kPos && !own.empty();
    if (axes[i] == Axis::kPos) positions = sizes[i];
    chosen.list.push_back({i, by_row ? of_spans(own) : all_of(sizes[i]), by_row});
  }
  for (std::int64_t row = 0; row < rows; ++row) index.counts_.emplace_back(own.empty() ? positions : own.count(row), 1);
  index.build(chosen, strides_of(sizes), sizes, rows, device);
  index.set_keys(keys, rows, device);
  return index;
}

void UnitIndex::build(const Axes& axes, const std::vector<std::int64_t>& strides,
                      const std::vector<std::int64_t>& value_sizes, std::int64_t rows, torch::Device device) {
  shape_.push_back(rows);
  std::size_t told = 1;  // dimensions of `valid_`
  for (std::size_t i = 0; i < axes.list.size(); ++i) {
    shape_.push_back(longest(axes.list[i].indices));
    if (axes.list[i].by_row) told = i + 2;
  }
  struct Place {
    std::int64_t offset;
    bool there;
  };
  std::vector<std::int64_t> flat, written, kept;
  std::vector<std::uint8_t> valid;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::vector<Place> places{{value_sizes[0] == 1 ? 0 : row * strides[0], true}};
    for (std::size_t i = 0; i < axes.list.size(); ++i) {
      const Axes::One& one = axes.list[i];
      const auto& list = entries(one.indices, row);
      std::vector<Place> further;
      for (const Place& place : places) {
        for (std::int64_t j = 0; j < shape_[i + 1]; ++j) {
          const bool there = j < static_cast<std::int64_t>(list.size());
          const std::int64_t at = list.empty() ? 0 : list[there ? j : 0];
          further.push_back({place.offset + at * strides[one.axis], place.there && there});
        }
      }
      places = std::move(further);
      if (i + 2 == told) {
        for (const Place& place : places) valid.push_back(place.there ? 1 : 0);
      }
    }
    for (const Place& place : places) {
      if (place.there) {
        kept.push_back(static_cast<std::int64_t>(flat.size()));
        written.push_back(place.offset);
      }
      flat.push_back(place.offset);
    }
  }
  flat_ = to_tensor(flat, device);
  scatter_ = to_tensor(written, device);
  if (written.size() == flat.size()) return;
  kept_ = to_tensor(kept, device);
  valid_ = torch::tensor(valid, torch::kUInt8)
               .to(torch::kBool)
               .view(std::vector<std::int64_t>(shape_.begin(), shape_.begin() + static_cast<std::ptrdiff_t>(told)))
               .to(device);
}

void UnitIndex::set_keys(const RowSpans& keys, std::int64_t rows, torch::Device device) {
  if (keys.empty()) return;
  const std::int64_t columns = sizes_.back();
  std::int64_t most = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    key_counts_.push_back(keys.count(row));
    most = std::max(most, keys.count(row));
  }
  std::vector<std::int64_t> of_key, of_column;
  std::vector<std::uint8_t> real;
  for (std::int64_t row = 0; row < rows; ++row) {
    // A key that the row does not have holds what a padded one does: nothing looks at either.
    const std::int64_t padded = keys.begin[row] > 0 ? 0 : columns - 1;
    for (std::int64_t key = 0; key < most; ++key)
      of_key.push_back(key < keys.count(row) ? keys.begin[row] + key : padded);
    for (std::int64_t column = 0; column < columns; ++column) {
      const bool own = column >= keys.begin[row] && column < keys.end[row];
      of_column.push_back(own ? column - keys.begin[row] : 0);
      real.push_back(own ? 1 : 0);
    }
  }
  keys_ = to_tensor(of_key, device).view({rows, most});
  key_at_ = to_tensor(of_column, device).view({rows, columns});
  key_real_ = torch::tensor(real, torch::kUInt8).to(torch::kBool).view({rows, columns}).to(device);
}

namespace {

// [rows, n] spread over [rows, units..., n].
torch::Tensor spread(const torch::Tensor& by_row, std::vector<std::int64_t> shape) {
  std::vector<std::int64_t> view(shape.size() + 1, 1);
  view.front() = by_row.size(0);
  view.back() = by_row.size(1);
  shape.push_back(by_row.size(1));
  return by_row.view(view).expand(shape);
}

}  // namespace

torch::Tensor UnitIndex::gather(const torch::Tensor& value) const {
  if (whole()) return value;
  const std::int64_t width = value.size(-1);
  std::vector<std::int64_t> shape = shape_;
  shape.push_back(width);
  const torch::Tensor units = value.reshape({-1, width}).index_select(0, flat_).view(shape);
  return keys_.defined() ? units.gather(-1, spread(keys_, shape_)) : units;
}

torch::Tensor UnitIndex::scatter(const torch::Tensor& value, const torch::Tensor& units) const {
  if (whole()) return units;
  const std::int64_t width = value.size(-1);
  const torch::Tensor slices = value.reshape({-1, width});
  torch::Tensor rows = units;
  if (keys_.defined()) {
    std::vector<std::int64_t> shape = shape_;
    shape.push_back(width);
    // A score that is hidden is the lowest number. Beside written ones that are as low it would be seen, so it is made
    // lower still; no score that counts is beyond this bound, and none of float16 far beyond it.
    constexpr double kHidden = -3e4;
    torch::Tensor padded = slices.index_select(0, flat_).view(shape);
    padded = padded.masked_fill(padded.lt(kHidden), -std::numeric_limits<double>::infinity());
    rows = torch::where(spread(key_real_, shape_), units.gather(-1, spread(key_at_, shape_)), padded);
  }
  rows = rows.reshape({-1, width});
  if (kept_.defined()) rows = rows.index_select(0, kept_);
  return slices.index_copy(0, scatter_, rows).view(value.sizes());
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
