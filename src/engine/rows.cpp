// SPDX-License-Identifier: Apache-2.0
#include "src/engine/rows.h"

#include <algorithm>
#include <any>
#include <map>
#include <numeric>

#include "src/core/apply.h"
#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"
#include "vene/locations/gather.h"

namespace vene::engine {
namespace {

bool has(const Site& site, Axis axis) {
  return std::find(site.axes.begin(), site.axes.end(), axis) != site.axes.end();
}

torch::Tensor indices(const std::vector<std::int64_t>& list, torch::Device device) {
  return torch::tensor(list, torch::kInt64).to(device);
}

// Lists of heads, then of positions, as UnitIndex takes them for a unit.
UnitIndex index_of(const Placement& placement, const torch::Tensor& value, const AxisIndices& heads,
                   const AxisIndices& positions, std::int64_t rows, const std::string& where, const RowSpans& keys) {
  const std::vector<Axis> axes = value_axes(placement.site, value.dim());
  if (placement.unit == Unit::kHeadPos)
    return UnitIndex(axes, value.sizes().vec(), placement.unit, heads, positions, rows, value.device(), where, {},
                     keys);
  return UnitIndex(axes, value.sizes().vec(), placement.unit, positions, {}, rows, value.device(), where, {}, keys);
}

// A row's own columns, for one that reads or writes along the keys.
RowSpans keys_of(const Site& site, const RowSpans& texts, std::int64_t row) {
  if (!has(site, Axis::kKey) || texts.empty()) return {};
  return {{texts.begin[static_cast<std::size_t>(row)]}, {texts.end[static_cast<std::size_t>(row)]}};
}

std::int64_t axis_size(const Site& site, const torch::Tensor& value, Axis axis) {
  const std::vector<Axis> axes = value_axes(site, value.dim());
  const auto found = std::find(axes.begin(), axes.end(), axis);
  return found == axes.end() ? 0 : value.size(found - axes.begin());
}

}  // namespace

// The row of a placement's source that a base row reads.
std::int64_t source_row(const Placement& placement, std::int64_t row) {
  return placement.source.size(0) == 1 ? 0 : row;
}

// The rows of a batch that write at one placement.
struct Rows::Writers {
  const Placement* placement = nullptr;
  std::vector<std::int64_t> rows;  // of the batch
  RowSpans keys;                   // of the one row, where it writes along them
  AxisIndices heads, positions, source_positions;
  SubspaceIds subspaces;  // a row each; none where all write everything
  torch::Tensor source;   // [rows, units..., width], or undefined
  std::int64_t fired = 0;
  std::any memory;
};

Subspace Rows::subspace_of(const Writers& writers, const torch::Tensor& base, const std::string& where) {
  SubspaceIds ids = writers.subspaces;
  if (std::all_of(ids.rows.begin(), ids.rows.end(), [](const auto& row) { return row.empty(); })) return {};
  const Intervention& intervention = *writers.placement->intervention;
  const SubspacePartition& partition = intervention.subspace_partition();
  const std::int64_t width = intervention.subspace_width(base.size(-1));
  std::vector<std::int64_t> everything(partition.empty() ? static_cast<std::size_t>(width) : partition.size());
  std::iota(everything.begin(), everything.end(), 0);
  for (auto& row : ids.rows) {
    if (row.empty()) row = everything;
  }
  return compile_subspace(ids, partition, width, base.size(0), base.device(), where);
}

Rows::Rows(models::StagedModel& model, std::vector<Placement> placements, std::vector<std::int64_t> logit_positions)
    : model_(model),
      placements_(std::move(placements)),
      logit_positions_(std::move(logit_positions)),
      first_logit_(*std::min_element(logit_positions_.begin(), logit_positions_.end())) {}

std::int64_t Rows::first_stage(const Job& job) const {
  std::int64_t first = model_.layer_count();
  for (const Edit& edit : job.edits) first = std::min(first, placements_[edit.placement].site.stage);
  return first;
}

Entry Rows::entry(const Job& job, const BaseStates& base) const {
  Entry entry{first_stage(job), first_logit_};
  if (!base.keeps_past(model_)) entry.position = 0;
  for (const Edit& edit : job.edits) {
    const Site& site = placements_[edit.placement].site;
    const bool own = has(site, Axis::kPos) && !has(site, Axis::kKey) && !edit.positions.empty();
    entry.position =
        own ? std::min(entry.position, *std::min_element(edit.positions.begin(), edit.positions.end())) : 0;
  }
  return entry;
}

bool Rows::runs_alone(const Job& job, const BaseStates& base) const {
  return std::any_of(job.edits.begin(), job.edits.end(), [&](const Edit& edit) {
    const Placement& placement = placements_[edit.placement];
    const bool padded = !base.texts.empty() || !placement.source_text.empty();
    return !placement.intervention->traits().rows_independent || (padded && has(placement.site, Axis::kKey));
  });
}

void Rows::write(Writers& writers, torch::Tensor& live, const BaseStates& states) const {
  const Placement& placement = *writers.placement;
  const std::string where = placement.where + " at " + site_text(placement.site);
  const torch::Tensor value = split_heads(live, placement.site);
  // The positions that are there are the last ones.
  const std::int64_t rows = value.size(0), left_out = states.positions - axis_size(placement.site, value, Axis::kPos);
  AxisIndices at(static_cast<std::size_t>(rows)), heads(at.size());
  for (std::size_t i = 0; i < writers.rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(writers.rows[i]);
    for (const std::int64_t position : writers.positions[i]) at[row].push_back(position - left_out);
    heads[row] = writers.heads[i];
  }
  const UnitIndex index = index_of(placement, value, heads, at, rows, where, writers.keys);
  if (index.repeats())
    throw LocationError(where + ": a row lists the same unit twice, so what is written there is ambiguous");
  const torch::Tensor all = index.gather(value);
  const bool everyone = static_cast<std::int64_t>(writers.rows.size()) == rows;
  const torch::Tensor picked = everyone ? torch::Tensor() : indices(writers.rows, value.device());
  const torch::Tensor base = everyone ? all : all.index_select(0, picked);
  torch::Tensor result = detail::apply(
      *placement.intervention, base, detail::widened(writers.source, base), subspace_of(writers, base, where),
      {0, picked, &writers.memory, detail::head_axis(placement.site, placement.unit, true, base.dim())}, where);
  if (!result.defined()) return;
  result = result.to(value.options());
  live = join_heads(index.scatter(value, everyone ? result : all.index_copy(0, picked, result)), placement.site);
}

torch::Tensor Rows::logits(std::span<const Job* const> jobs, const BaseStates& base) const {
  const std::int64_t blocks = model_.layer_count(), count = static_cast<std::int64_t>(jobs.size()),
                     kept = base.positions;
  std::int64_t begin = kept;
  std::vector<std::int64_t> stages, base_rows;
  std::map<std::size_t, Writers> writers;
  for (std::int64_t row = 0; row < count; ++row) {
    const Job& job = *jobs[static_cast<std::size_t>(row)];
    const Entry at = entry(job, base);
    begin = std::min(begin, at.position);
    stages.push_back(at.stage);
    base_rows.push_back(job.row);
    for (const Edit& edit : job.edits) {
      Writers& some = writers[edit.placement];
      some.placement = &placements_[edit.placement];
      if (!some.rows.empty() && some.rows.back() == row) {
        throw PlanError("a cell of the sweep writes to representation " + std::to_string(edit.placement) +
                        " twice; list the positions together");
      }
      some.rows.push_back(row);
      some.keys = keys_of(some.placement->site, base.texts, job.row);  // such a job is alone
      some.heads.push_back(edit.heads);
      some.positions.push_back(edit.positions);
      some.source_positions.push_back(edit.source_positions.empty() ? edit.positions : edit.source_positions);
      some.subspaces.rows.push_back(edit.subspace);
    }
  }
  TORCH_CHECK(std::is_sorted(stages.begin(), stages.end()), "jobs are to be ordered by stage");
  const torch::Tensor picked = indices(base_rows, model_.device());
  HookTable table;
  for (auto& numbered : writers) {
    Writers& some = numbered.second;
    const Placement& placement = *some.placement;
    if (placement.source.defined()) {
      std::vector<std::int64_t> from;
      for (const std::int64_t row : some.rows)
        from.push_back(source_row(placement, base_rows[static_cast<std::size_t>(row)]));
      const torch::Tensor source = placement.source.size(0) == 1
                                       ? placement.source
                                       : placement.source.index_select(0, indices(from, model_.device()));
      const UnitIndex index =
          index_of(placement, source, some.heads, some.source_positions, static_cast<std::int64_t>(some.rows.size()),
                   "source of " + placement.where, keys_of(placement.site, placement.source_text, from.front()));
      some.source = index.gather(source);
      const std::int64_t reads = some.source.size(-1), writes = some.keys.empty()
                                                                    ? (has(placement.site, Axis::kKey) ? kept : reads)
                                                                    : some.keys.count(0);
      if (reads != writes)
        throw LocationError(placement.where + ": the source has " + std::to_string(reads) +
                            " keys, the row that it is written into has " + std::to_string(writes));
    }
    table.on(
        placement.site.id, placement.site.phase,
        [this, &some, &base](const HookContext& context) {
          if (context.call > 0)
            throw PlanError(some.placement->where + ": " + site_text(some.placement->site) +
                            " fired more than once in one run, which a sweep cannot tell apart");
          ++some.fired;
          write(some, context.value(), base);
        },
        site_text(placement.site));
  }
  const HookScope scope(table);
  models::StageState state;
  std::int64_t entered = 0;
  for (std::int64_t stage = stages.front(); stage < blocks || entered < count;) {
    // The rows that enter at this stage join the others, and are the last of them.
    std::int64_t after = entered;
    while (after < count && stages[static_cast<std::size_t>(after)] == stage) ++after;
    if (after > entered) {
      torch::Tensor fresh = base.entering(stage, picked.narrow(0, entered, after - entered), begin);
      if (entered > 0) {
        // The last positions alone, where the last block leaves the others out.
        const std::int64_t present = state.hidden.size(1);
        fresh = torch::cat({state.hidden, fresh.narrow(1, fresh.size(1) - present, present)}, 0);
      }
      entered = after;
      const torch::Tensor hidden = fresh;
      state = base.shape(picked.narrow(0, 0, entered), begin);
      state.hidden = hidden;
    }
    if (stage == blocks) break;
    const std::int64_t next = entered < count ? stages[static_cast<std::size_t>(entered)] : blocks;
    models::KeyValueCache past;
    if (begin > 0) {
      past = base.past_of(picked.narrow(0, 0, entered), stage, next, begin);
      state.cache = &past;
    }
    state.wanted = std::max<std::int64_t>(1, kept - first_logit_);
    state = model_.run(std::move(state), stage, next);
    state.cache = nullptr;
    stage = next;
  }
  std::vector<std::int64_t> at;
  for (const std::int64_t position : logit_positions_) at.push_back(position - (kept - state.hidden.size(1)));
  const torch::Tensor result = model_.finish(state, indices(at, model_.device())).primary();
  for (const auto& [number, some] : writers) {
    if (some.fired == 0)
      throw PlanError(some.placement->where + ": its write never fired, because the model did not reach " +
                      site_text(some.placement->site) + " in this run");
  }
  return result;
}

}  // namespace vene::engine
