// SPDX-License-Identifier: Apache-2.0
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/interventions/intervention.h"

namespace vene {
namespace {

torch::Tensor combined(const torch::Tensor& base, const torch::Tensor& source, SwapMode mode) {
  switch (mode) {
    case SwapMode::kAdd:
      return base + source;
    case SwapMode::kSubtract:
      return base - source;
    default:
      return source;
  }
}

torch::Tensor collected(const torch::Tensor& base, const Subspace& subspace, std::int64_t leading) {
  if (subspace.all()) return base.narrow(-1, 0, leading);
  if (subspace.columns.dim() == 1) return base.index_select(-1, subspace.columns);
  if (subspace.valid.defined())
    throw PlanError("collect: rows ask for different numbers of columns; collect them in runs of their own");
  std::vector<std::int64_t> view(static_cast<std::size_t>(base.dim()), 1), shape = base.sizes().vec();
  view.front() = base.size(0);
  view.back() = shape.back() = subspace.columns.size(1);
  return base.gather(-1, subspace.columns.view(view).expand(shape));
}

}  // namespace

torch::Tensor broadcast_source(const torch::Tensor& base, const torch::Tensor& source) {
  if (!source.defined()) throw PlanError("an intervention that needs a source ran without one");
  torch::Tensor value = source.to(base.options());
  if (value.sizes() == base.sizes()) return value;
  while (value.dim() < base.dim()) value = value.unsqueeze(0);
  bool fits = value.dim() == base.dim() && value.size(-1) == base.size(-1);
  for (std::int64_t i = 0; fits && i < base.dim(); ++i) fits = value.size(i) == 1 || value.size(i) == base.size(i);
  if (!fits) {
    throw PlanError("source of shape " + shape_text(source.sizes()) + " does not fit a base of shape " +
                    shape_text(base.sizes()) + "; expected the same shape, or one row, unit or vector for all");
  }
  return value.expand_as(base);
}

torch::Tensor column_mask(const Subspace& subspace, std::int64_t dimensions, std::int64_t width,
                          torch::TensorOptions options) {
  if (subspace.all()) return {};
  if (subspace.columns.dim() == 1) return torch::zeros({width}, options).index_fill_(0, subspace.columns, 1);
  const std::int64_t rows = subspace.columns.size(0);
  torch::Tensor mask = torch::zeros({rows, width}, options.dtype(torch::kInt32));
  const torch::Tensor marks =
      subspace.valid.defined() ? subspace.valid.to(torch::kInt32) : torch::ones_like(subspace.columns, torch::kInt32);
  mask.scatter_add_(1, subspace.columns, marks);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(dimensions), 1);
  shape.front() = rows;
  shape.back() = width;
  return (mask > 0).to(options.dtype()).view(shape);
}

torch::Tensor swap(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace, SwapMode mode,
                   std::optional<std::int64_t> interchange_dim) {
  const std::int64_t width = base.size(-1);
  const std::int64_t leading = std::min(interchange_dim.value_or(width), width);
  if (!subspace.all() && subspace.columns.dim() == 2 && subspace.columns.size(0) != base.size(0)) {
    throw PlanError("subspaces for " + std::to_string(subspace.columns.size(0)) + " rows, the value has " +
                    std::to_string(base.size(0)));
  }
  if (mode == SwapMode::kCollect) return collected(base, subspace, leading);
  const torch::Tensor value = broadcast_source(base, source);
  if (subspace.all()) {
    if (leading == width) return combined(base, value, mode);
    return torch::cat({combined(base.narrow(-1, 0, leading), value.narrow(-1, 0, leading), mode),
                       base.narrow(-1, leading, width - leading)},
                      -1);
  }
  if (subspace.columns.dim() == 1) {
    const torch::Tensor chosen =
        combined(base.index_select(-1, subspace.columns), value.index_select(-1, subspace.columns), mode);
    return base.index_copy(-1, subspace.columns, chosen);
  }
  return torch::where(column_mask(subspace, base.dim(), width, base.options().dtype(torch::kBool)),
                      combined(base, value, mode), base);
}

Subspace compile_subspace(const SubspaceIds& ids, const SubspacePartition& partition, std::int64_t width,
                          std::int64_t batch, torch::Device device, const std::string& where) {
  const auto rows = static_cast<std::int64_t>(ids.rows.size());
  if (rows != 1 && rows != batch) {
    throw LocationError(where + ": subspaces for " + std::to_string(rows) + " rows, but the batch has " +
                        std::to_string(batch) + " (give one list for every row, or " + std::to_string(batch) + ")");
  }
  auto checked = [&](std::int64_t id, std::int64_t size, const char* what) {
    const std::int64_t counted = id < 0 ? id + size : id;
    if (counted < 0 || counted >= size) {
      throw LocationError(where + ": subspace " + what + " " + std::to_string(id) + " is out of range: there are " +
                          std::to_string(size));
    }
    return counted;
  };
  std::vector<std::vector<std::int64_t>> columns;
  std::size_t most = 0;
  for (const std::vector<std::int64_t>& row : ids.rows) {
    std::vector<std::int64_t> expanded;
    for (std::int64_t id : row) {
      if (partition.empty()) {
        expanded.push_back(checked(id, width, "column"));
        continue;
      }
      for (std::int64_t column : partition[checked(id, static_cast<std::int64_t>(partition.size()), "part")])
        expanded.push_back(checked(column, width, "column"));
    }
    // A column listed twice is one column.
    std::vector<std::int64_t> unique;
    for (std::int64_t column : expanded) {
      if (std::find(unique.begin(), unique.end(), column) == unique.end()) unique.push_back(column);
    }
    most = std::max(most, unique.size());
    columns.push_back(std::move(unique));
  }
  const bool alike =
      std::all_of(columns.begin(), columns.end(), [&](const auto& row) { return row == columns.front(); });
  if (alike) return {torch::tensor(columns.front(), torch::kInt64).to(device), {}};
  const bool ragged = std::any_of(columns.begin(), columns.end(), [&](const auto& row) { return row.size() != most; });
  torch::Tensor table = torch::zeros({rows, static_cast<std::int64_t>(most)}, torch::kInt64);
  torch::Tensor valid = torch::zeros({rows, static_cast<std::int64_t>(most)}, torch::kBool);
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto count = static_cast<std::int64_t>(columns[r].size());
    if (count == 0) continue;
    table[r].slice(0, 0, count).copy_(torch::tensor(columns[r], torch::kInt64));
    valid[r].slice(0, 0, count).fill_(true);
  }
  return {table.to(device), ragged ? valid.to(device) : torch::Tensor()};
}

}  // namespace vene
