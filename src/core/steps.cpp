// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

torch::Tensor index_tensor(const std::vector<std::int64_t>& values, torch::Device device) {
  return torch::tensor(values, torch::kInt64).to(device);
}

// The rows as a cell meets them that reads from the end.
RowTexts backward(RowTexts texts) {
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const std::int64_t begin = texts.begin[row];
    texts.begin[row] = texts.positions - texts.end[row];
    texts.end[row] = texts.positions - begin;
  }
  texts.tokenizer = nullptr;
  return texts;
}

// The calls of the site that each row's list names.
AxisIndices steps_of(const Side& side, CallOrder order, std::int64_t rows) {
  if (side.selection->size() != 1) throw LocationError(side.where + ": unit 't' takes one list of steps");
  const AxisSelection& selection = (*side.selection)[0];
  AxisIndices steps;
  if (order == CallOrder::kUnknown) {
    steps = resolve_axis(selection, rows, 0, Axis::kPos, side.where);
  } else {
    const RowTexts texts = repeated(side.texts, rows);
    steps = resolve_positions(selection, order == CallOrder::kPositionsBackward ? backward(texts) : texts, side.where);
  }
  if (steps.size() == 1 && rows > 1) steps.resize(rows, steps[0]);
  return steps;
}

// A constant of several units has one for each entry of a row's list.
void check_constant(const Placement& placement, std::int64_t units) {
  const torch::Tensor& constant = placement.constant;
  if (!constant.defined() || constant.dim() < 2) return;
  const bool fits = constant.dim() <= 3 && (constant.size(-2) == 1 || constant.size(-2) == units) &&
                    (constant.dim() == 2 || constant.size(0) == 1 || constant.size(0) == placement.base.rows);
  if (fits) return;
  throw PlanError(placement.base.where + ": a constant source of shape " + shape_text(constant.sizes()) +
                  " does not fit " + std::to_string(units) + " steps of " + std::to_string(placement.base.rows) +
                  " rows; expected [width], [steps, width] or [batch, steps, width]");
}

}  // namespace

Steps make_steps(const Placement& placement, const Side& base_side, const Side& source_side, torch::Device device) {
  Steps steps;
  const std::string& where = base_side.where;
  if (!base_side.selection) {
    if (placement.reads_source && source_side.selection)
      throw LocationError(where + ": unit 't' has steps for the source but none for what it writes into");
    steps.every = true;
    return steps;
  }
  const std::int64_t rows = base_side.rows, source_rows = placement.reads_source ? source_side.texts.rows : rows;
  const AxisIndices base = steps_of(base_side, placement.site.calls, rows);
  const AxisIndices source = placement.reads_source ? steps_of(source_side, placement.site.calls, rows) : base;
  std::size_t units = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (placement.reads_source && source[row].size() != base[row].size()) {
      throw LocationError(where + ", row " + std::to_string(row) + ": " + std::to_string(source[row].size()) +
                          " source steps for " + std::to_string(base[row].size()) + " base steps");
    }
    units = std::max(units, base[row].size());
    for (std::int64_t step : source[row]) steps.read_calls.push_back(step);
    std::vector<std::int64_t> sorted = base[row];
    std::sort(sorted.begin(), sorted.end());
    if (!placement.traits.collects && std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
      throw LocationError(where + ", row " + std::to_string(row) + ": a step is listed twice");
    }
  }
  if (units == 0) throw LocationError(where + ": the locations select no step in any row");
  std::sort(steps.read_calls.begin(), steps.read_calls.end());
  steps.read_calls.erase(std::unique(steps.read_calls.begin(), steps.read_calls.end()), steps.read_calls.end());
  steps.units = static_cast<std::int64_t>(units);
  check_constant(placement, steps.units);
  auto slot = [&](std::int64_t call) {
    return static_cast<std::int64_t>(std::lower_bound(steps.read_calls.begin(), steps.read_calls.end(), call) -
                                     steps.read_calls.begin());
  };
  auto flat = [&](std::int64_t call, std::int64_t row) {
    return slot(call) * source_rows + (source_rows == 1 ? 0 : row);
  };

  struct Places {
    std::vector<std::int64_t> rows, source, units;
  };
  std::map<std::int64_t, Places> calls;
  std::vector<std::int64_t> collected;
  std::vector<std::uint8_t> valid;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::size_t j = 0; j < units; ++j) {
      const bool there = j < base[row].size();
      valid.push_back(there ? 1 : 0);
      collected.push_back(there ? flat(source[row][j], row) : 0);
      if (!there) continue;
      Places& places = calls[base[row][j]];
      places.rows.push_back(row);
      places.source.push_back(flat(source[row][j], row));
      places.units.push_back(static_cast<std::int64_t>(j));
    }
  }
  for (const auto& [call, places] : calls) {
    Steps::Call entry;
    if (static_cast<std::int64_t>(places.rows.size()) != rows) entry.rows = index_tensor(places.rows, device);
    if (placement.reads_source) entry.source_flat = index_tensor(places.source, device);
    if (placement.constant.defined() && placement.constant.dim() > 1) entry.units = index_tensor(places.units, device);
    steps.writes[call] = std::move(entry);
  }
  steps.collect_flat = index_tensor(collected, device).view({rows, steps.units});
  if (std::find(valid.begin(), valid.end(), 0) != valid.end()) {
    steps.collect_valid = torch::tensor(valid, torch::kUInt8).to(torch::kBool).view({rows, steps.units}).to(device);
  }
  return steps;
}

torch::Tensor assemble_steps(const Steps& steps, const std::map<std::int64_t, torch::Tensor>& values) {
  std::vector<torch::Tensor> ordered;
  for (const auto& [call, value] : values) ordered.push_back(value);
  if (steps.every) return torch::stack(ordered, 1);  // [batch, steps, width]
  const torch::Tensor& flat = steps.collect_flat;
  torch::Tensor units = torch::cat(ordered, 0).index_select(0, flat.flatten()).view({flat.size(0), flat.size(1), -1});
  if (steps.collect_valid.defined()) units = units * steps.collect_valid.unsqueeze(-1).to(units.scalar_type());
  return units;
}

}  // namespace vene::detail
