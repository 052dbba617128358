// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/core/plan_data.h"
#include "vene/base/error.h"

namespace vene::detail {
namespace {

torch::Tensor index_tensor(const std::vector<std::int64_t>& values, torch::Device device) {
  return torch::tensor(values, torch::kInt64).to(device);
}

AxisIndices steps_of(const Side& side, std::int64_t rows) {
  if (side.selection->size() != 1) throw LocationError(side.where + ": unit 't' takes one list of steps");
  AxisIndices steps = resolve_axis((*side.selection)[0], rows, 0, Axis::kPos, side.where);
  if (steps.size() == 1 && rows > 1) steps.resize(rows, steps[0]);
  return steps;
}

}  // namespace

void make_steps(Placement& placement, std::int64_t source_rows, torch::Device device) {
  Steps& steps = placement.steps;
  if (!placement.base.selection) {
    if (placement.reads_source && placement.source.selection) {
      throw LocationError(placement.base.where + ": unit 't' has steps for the source but none for what it writes into");
    }
    steps.every = true;
    return;
  }
  const std::int64_t rows = placement.base.rows;
  const AxisIndices base = steps_of(placement.base, rows);
  const AxisIndices source = placement.reads_source ? steps_of(placement.source, rows) : base;
  std::size_t units = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (placement.reads_source && source[row].size() != base[row].size()) {
      throw LocationError(placement.base.where + ", row " + std::to_string(row) + ": " + std::to_string(source[row].size()) +
                          " source steps for " + std::to_string(base[row].size()) + " base steps");
    }
    units = std::max(units, base[row].size());
    for (std::int64_t step : source[row]) steps.read_calls.push_back(step);
    std::vector<std::int64_t> sorted = base[row];
    std::sort(sorted.begin(), sorted.end());
    if (!placement.traits.collects && std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
      throw LocationError(placement.base.where + ", row " + std::to_string(row) + ": a step is listed twice");
    }
  }
  if (units == 0) throw LocationError(placement.base.where + ": the locations select no step in any row");
  std::sort(steps.read_calls.begin(), steps.read_calls.end());
  steps.read_calls.erase(std::unique(steps.read_calls.begin(), steps.read_calls.end()), steps.read_calls.end());
  steps.last_read = steps.read_calls.back();
  auto slot = [&](std::int64_t call) {
    return static_cast<std::int64_t>(std::lower_bound(steps.read_calls.begin(), steps.read_calls.end(), call) - steps.read_calls.begin());
  };
  auto flat = [&](std::int64_t call, std::int64_t row) { return slot(call) * source_rows + (source_rows == 1 ? 0 : row); };

  std::map<std::int64_t, std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>> calls;  // call -> rows, source places
  std::vector<std::int64_t> collected;
  std::vector<std::uint8_t> valid;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::size_t j = 0; j < units; ++j) {
      const bool there = j < base[row].size();
      valid.push_back(there ? 1 : 0);
      collected.push_back(there ? flat(source[row][j], row) : 0);
      if (!there) continue;
      calls[base[row][j]].first.push_back(row);
      calls[base[row][j]].second.push_back(flat(source[row][j], row));
    }
  }
  for (const auto& [call, places] : calls) {
    Steps::Call entry;
    if (static_cast<std::int64_t>(places.first.size()) != rows) entry.rows = index_tensor(places.first, device);
    entry.source_flat = index_tensor(places.second, device);
    steps.writes[call] = std::move(entry);
  }
  const auto unit_count = static_cast<std::int64_t>(units);
  steps.collect_flat = index_tensor(collected, device).view({rows, unit_count});
  if (std::find(valid.begin(), valid.end(), 0) != valid.end()) {
    steps.collect_valid = torch::tensor(valid, torch::kUInt8).to(torch::kBool).view({rows, unit_count}).to(device);
  }
}

}  // namespace vene::detail
