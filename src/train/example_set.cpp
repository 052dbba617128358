// SPDX-License-Identifier: Apache-2.0
#include "src/train/example_set.h"

#include <map>

#include "src/train/shape_key.h"
#include "src/train/shuffle.h"
#include "vene/base/error.h"

namespace vene::train {
namespace {

using torch::Tensor;

Tensor picked(const Tensor& tensor, const Tensor& rows) {
  return tensor.defined() ? tensor.index_select(0, rows.to(tensor.device())) : Tensor();
}

models::Batch picked(const models::Batch& batch, const Tensor& rows) {
  models::Batch some;
  some.input_ids = picked(batch.input_ids, rows);
  some.attention_mask = picked(batch.attention_mask, rows);
  some.inputs_embeds = picked(batch.inputs_embeds, rows);
  for (const Tensor& extra : batch.extra) some.extra.push_back(picked(extra, rows));
  return some;
}

template <class Row>
std::vector<Row> picked(const std::vector<Row>& all, const std::vector<std::int64_t>& rows) {
  std::vector<Row> some;
  for (const std::int64_t row : rows) some.push_back(all[static_cast<std::size_t>(row)]);
  return some;
}

SideSelection picked(const SideSelection& side, const std::vector<std::int64_t>& rows) {
  SideSelection some{side.for_all, {}};
  for (const UnitSelection& unit : side.units) {
    some.units.emplace_back();
    if (!unit) continue;
    some.units.back().emplace();
    for (const AxisSelection& axis : *unit) some.units.back()->push_back({picked(axis.rows, rows)});
  }
  return some;
}

}  // namespace

ExampleSet::ExampleSet(const std::vector<Example>& examples) {
  std::map<std::string, std::size_t> known;
  std::vector<std::vector<std::size_t>> members;
  for (std::size_t row = 0; row < examples.size(); ++row) {
    const auto [shape, is_new] = known.emplace(shape_key(examples[row], row), members.size());
    if (is_new) members.emplace_back();
    shape_of_.push_back(shape->second);
    row_of_.push_back(static_cast<std::int64_t>(members[shape->second].size()));
    members[shape->second].push_back(row);
  }
  for (const auto& rows : members) {
    ExampleBatch& all = shapes_.emplace_back(join(examples, rows));
    const auto on_cpu = [](const models::Batch& batch) {
      return batch.attention_mask.defined() ? batch.attention_mask.to(torch::kCPU) : Tensor();
    };
    const models::Batch& base = all.request.base;
    if (!base.primary().defined() || base.primary().device().is_cpu()) continue;
    all.masks.push_back(on_cpu(base));
    for (const auto& source : all.request.sources) all.masks.push_back(source ? on_cpu(*source) : Tensor());
  }
}

RunRequest ExampleSet::for_compiling(const ExampleBatch& batch) {
  RunRequest request = batch.request;
  if (batch.masks.empty()) return request;
  request.base.attention_mask = batch.masks.front();
  for (std::size_t g = 0; g < request.sources.size(); ++g) {
    if (request.sources[g]) request.sources[g]->attention_mask = batch.masks.at(g + 1);
  }
  return request;
}

std::vector<std::vector<std::size_t>> ExampleSet::batches(std::int64_t batch_size,
                                                          std::optional<std::uint64_t> seed) const {
  if (size() == 0) throw PlanError("the data set is empty");
  if (batch_size < 1) throw PlanError("batch_size is " + std::to_string(batch_size) + ", expected at least 1");
  std::vector<std::size_t> order(size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (seed) detail::shuffle(order, *seed);
  std::vector<std::vector<std::size_t>> all;
  std::map<std::size_t, std::size_t> open;  // shape -> the batch that is being filled
  for (const std::size_t row : order) {
    const auto found = open.find(shape_of_[row]);
    if (found == open.end() || static_cast<std::int64_t>(all[found->second].size()) == batch_size) {
      open[shape_of_[row]] = all.size();
      all.emplace_back();
    }
    all[open[shape_of_[row]]].push_back(row);
  }
  return all;
}

ExampleBatch ExampleSet::pick(const std::vector<std::size_t>& examples) const {
  const ExampleBatch& all = shapes_.at(shape_of_.at(examples.at(0)));
  std::vector<std::int64_t> rows;
  for (const std::size_t example : examples) {
    if (shape_of_.at(example) != shape_of_[examples[0]])
      throw PlanError("examples " + std::to_string(examples[0]) + " and " + std::to_string(example) +
                      " do not have the same shape");
    rows.push_back(row_of_[example]);
  }
  const Tensor index = torch::tensor(rows, torch::kInt64);
  ExampleBatch some;
  some.rows = examples;
  some.request.base = picked(all.request.base, index);
  some.request.tokenizer = all.request.tokenizer;
  for (const auto& source : all.request.sources)
    some.request.sources.push_back(source ? std::optional(picked(*source, index)) : std::nullopt);
  for (const auto& [name, hop] : all.request.locations.hops) {
    some.request.locations.hops[name] = {hop.source ? std::optional(picked(*hop.source, rows)) : std::nullopt,
                                         picked(hop.base, rows)};
  }
  for (const auto& ids : all.request.subspaces) {
    some.request.subspaces.push_back(ids ? std::optional(SubspaceIds{picked(ids->rows, rows)}) : std::nullopt);
  }
  for (const Tensor& mask : all.masks) some.masks.push_back(picked(mask, index));
  some.positions = picked(all.positions, index);
  some.tokens = picked(all.tokens, index);
  some.rivals = picked(all.rivals, index);
  some.task_positions = picked(all.task_positions, index);
  some.task_tokens = picked(all.task_tokens, index);
  return some;
}

}  // namespace vene::train
