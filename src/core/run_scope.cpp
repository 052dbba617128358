// SPDX-License-Identifier: Apache-2.0
#include "src/core/run_scope.h"

#include <algorithm>

#include "src/core/apply.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

std::string name_and_site(const Placement& placement) {
  return placement.where + " (" + placement.key + ") at " + site_text(placement.site);
}

// The index made at compile time, or one for the sizes that came.
UnitIndex index_for(const Placement& placement, const Side& side, const torch::Tensor& value) {
  if (side.index && (side.index->whole() || side.index->sizes() == value.sizes())) return *side.index;
  const bool known = static_cast<std::int64_t>(placement.site.axes.size()) == value.dim();
  if (!side.selection && !known && (value.dim() < 2 || value.dim() > 4)) return {};
  return make_index(placement, side, value_axes(placement.site, value.dim()), value.sizes().vec(), value.device());
}

// The last axis cut or filled up with zeros to `width`.
torch::Tensor of_width(const torch::Tensor& value, std::int64_t width) {
  return torch::constant_pad_nd(value, {0, width - value.size(-1)});
}

SubspaceIds rows_of(const SubspaceIds& ids, const torch::Tensor& rows, std::int64_t of) {
  if (!rows.defined() || static_cast<std::int64_t>(ids.rows.size()) != of) return ids;
  SubspaceIds some = ids;
  some.rows.clear();
  const torch::Tensor picked = rows.to(torch::kCPU);
  for (std::int64_t i = 0; i < picked.numel(); ++i)
    some.rows.push_back(ids.rows.at(static_cast<std::size_t>(picked[i].item<std::int64_t>())));
  return some;
}

Subspace rows_of(const Subspace& subspace, const torch::Tensor& rows) {
  if (!rows.defined() || subspace.all() || subspace.columns.dim() == 1) return subspace;
  return {subspace.columns.index_select(0, rows),
          subspace.valid.defined() ? subspace.valid.index_select(0, rows) : torch::Tensor()};
}

}  // namespace

void RunScope::begin_step(std::int64_t step, std::int64_t recomputed_prompt) {
  step_ = step;
  recomputed_prompt_ = recomputed_prompt;
  // What is computed again from the start remembers again from the start.
  if (recomputed_prompt > 0) std::fill(state_.memory.begin(), state_.memory.end(), std::any());
}

RunScope::CellCall RunScope::cell_call(std::int64_t call) const {
  if (step_ == 0) return {0, call, call};
  if (recomputed_prompt_ == 0) return {step_, 0, call};
  for (std::int64_t before = 0; before < step_; ++before)
    call -= recomputed_prompt_ + before;  // of the forwards before this one
  if (call < recomputed_prompt_) return {0, call, call};
  return {call - recomputed_prompt_ + 1, 0, call};
}

const std::vector<std::int64_t>& RunScope::wanted_calls(const Placement& placement) const {
  const bool reads = pass_.group.has_value() && !placement.when.acts(0);  // for decoding steps alone
  return reads ? placement.steps_decoding.read_calls : placement.steps.read_calls;
}

void RunScope::act(const HookContext& context, std::size_t index) {
  const Action& action = pass_.actions[index];
  const Placement& placement = plan_.placements[action.placement];
  const bool by_step = placement.unit == Unit::kStep;
  if (context.call > step_ && !by_step) {
    throw PlanError(name_and_site(placement) +
                    ": the site fired more than once in one run; unit 't' picks the calls to act on");
  }
  call_ = by_step ? cell_call(context.call).place : context.call;
  part_ = action.inside_whole ? &*site_at(placement, action).part : nullptr;
  switch (action.act) {
    case Act::kRead:
      if (plan_.reads_at(placement, step_)) read(context, placement);
      break;
    case Act::kWrite:
      by_step ? write_step(context, placement) : write(context, placement);
      break;
    case Act::kCollect:
      if (placement.when.acts(step_)) collect(context, placement);
      break;
  }
  const auto& wanted = wanted_calls(placement);
  const std::int64_t last = action.act == Act::kWrite ? placement.steps.last_write()
                            : wanted.empty()          ? -1
                                                      : wanted.back();
  const bool done = !by_step || context.call == last;
  if (done && --pending_ == 0 && pass_.ends_early) stop();
}

torch::Tensor RunScope::live(const HookContext& context) const {
  return part_ != nullptr ? part_->of(context.value()) : context.value();
}

void RunScope::replace(const HookContext& context, const torch::Tensor& value) const {
  context.value() = part_ != nullptr ? part_->put(context.value(), value) : value;
}

void RunScope::read(const HookContext& context, const Placement& placement) {
  if (placement.traits.source_is_module_input && (context.inputs.empty() || part_ != nullptr)) {
    throw PlanError(name_and_site(placement) +
                    ": skip takes the input of the site's module, and this site has none (use the output of a block, "
                    "of an MLP or of attention)");
  }
  const torch::Tensor live = placement.traits.source_is_module_input ? *context.inputs[0] : this->live(context);
  if (placement.unit == Unit::kStep) {
    const CellCall at = cell_call(context.call);
    if (at.step != step_) return;
    const auto& wanted = wanted_calls(placement);
    auto& steps = state_.steps[placement.representation];
    if (at.step > 0) {
      steps[kDecoded + at.step] = live.clone();
    } else if (placement.steps.every || std::binary_search(wanted.begin(), wanted.end(), at.call)) {
      steps[at.call] = live.clone();
    }
    return;
  }
  torch::Tensor value = split_heads(live, placement.source_site);
  part_of_step(value, placement, step_);
  const UnitIndex index = index_for(placement, step_ == 0 ? placement.source : placement.source_decoding, value);
  torch::Tensor units = index.gather(value);
  if (index.whole()) units = units.clone();
  state_.source_counts[placement.representation][step_] = {index.counts(), {index.key_counts(), value.size(-1)}};
  if (plan_.generation && plan_.generation->source_steps == SourceSteps::kSame) {
    state_.steps[placement.representation][step_] = units;
  } else {
    state_.sources[placement.representation] = units;
  }
}

// Without a cache a forward of a generation holds every step's positions: narrows `value` to those of one step, and the
// keys that it sees. False where the value has no positions and stands for the newest step as a whole.
bool RunScope::part_of_step(torch::Tensor& value, const Placement& placement, std::int64_t step) const {
  if (recomputed_prompt_ == 0) return true;
  const std::vector<Axis> axes = value_axes(placement.site, value.dim());
  const auto pos = std::find(axes.begin(), axes.end(), Axis::kPos);
  if (pos == axes.end() || value.size(pos - axes.begin()) != recomputed_prompt_ + step_) return step == step_;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto dim = static_cast<std::int64_t>(i);
    if (axes[i] == Axis::kKey) value = value.narrow(dim, 0, recomputed_prompt_ + step);
    if (axes[i] != Axis::kPos) continue;
    value = step == 0 ? value.narrow(dim, 0, recomputed_prompt_) : value.narrow(dim, recomputed_prompt_ + step - 1, 1);
  }
  return true;
}

torch::Tensor RunScope::intervene(const Placement& placement, const torch::Tensor& base, const torch::Tensor& source,
                                  const torch::Tensor& rows) {
  Subspace subspace;
  if (placement.subspace) {
    subspace = rows_of(*placement.subspace, rows);
  } else {
    subspace = compile_subspace(
        rows_of(*placement.subspace_ids, rows, placement.base.rows), placement.intervention->subspace_partition(),
        placement.intervention->subspace_width(base.size(-1)), base.size(0), base.device(), placement.where);
  }
  return apply(*placement.intervention, base, source, subspace,
               {call_, rows, &state_.memory[placement.representation],
                head_axis(placement.site, placement.unit, placement.base.selection.has_value(), base.dim())},
               name_and_site(placement));
}

torch::Tensor RunScope::intervene_by_keys(const Placement& placement, const UnitIndex& index, const torch::Tensor& base,
                                          const torch::Tensor& source) {
  const std::int64_t most = base.size(-1), rows = base.size(0);
  std::map<std::int64_t, std::vector<std::int64_t>> by_count;  // the rows that are acted on
  for (std::int64_t row = 0; row < rows && !index.key_counts().empty(); ++row) {
    const auto [units, positions] = index.counts()[static_cast<std::size_t>(row)];
    if (units > 0 && positions > 0) by_count[index.key_counts()[static_cast<std::size_t>(row)]].push_back(row);
  }
  const bool fits =
      !placement.reads_source || !source.defined() || source.size(-1) == most || !has_keys(placement.site);
  const bool alike = by_count.empty() || (by_count.size() == 1 && by_count.begin()->first == most);
  if (fits && alike) return intervene(placement, base, source, {});
  if (by_count.empty()) {  // no row of the base is padded, and one of the source's that nothing reads is longer
    return intervene(placement, base, source.narrow(-1, 0, most), {});
  }
  std::vector<std::pair<torch::Tensor, torch::Tensor>> results;  // rows, and what they get
  std::int64_t width = placement.traits.collects ? 0 : most;
  for (const auto& [count, list] : by_count) {
    const torch::Tensor picked = torch::tensor(list, torch::kInt64).to(base.device());
    torch::Tensor given = source;
    if (given.defined() && given.dim() == base.dim()) {
      if (given.size(0) == rows) given = given.index_select(0, picked);
      if (given.size(-1) > count) given = given.narrow(-1, 0, count);
    }
    const torch::Tensor some = base.index_select(0, picked);
    torch::Tensor result = intervene(placement, some.narrow(-1, 0, count), given, picked);
    if (!result.defined()) continue;
    if (!placement.traits.collects && count < most && result.dim() == some.dim())
      result = torch::cat({result, some.narrow(-1, count, most - count).to(result.options())}, -1);
    width = std::max(width, result.size(-1));
    results.emplace_back(picked, result);
  }
  if (results.empty()) return {};
  std::vector<std::int64_t> shape = base.sizes().vec();
  shape.back() = width;
  torch::Tensor all = placement.traits.collects ? torch::zeros(shape, results[0].second.options())
                                                : base.to(results[0].second.options());
  for (const auto& [picked, result] : results) all = all.index_copy(0, picked, of_width(result, width));
  return all;
}

void RunScope::write(const HookContext& context, const Placement& placement) {
  torch::Tensor value = split_heads(live(context), placement.site);
  bool changed = false;
  for (std::int64_t step = recomputed_prompt_ > 0 ? 0 : step_; step <= step_; ++step) {
    if (!placement.when.acts(step)) continue;
    torch::Tensor part = value;
    if (!part_of_step(part, placement, step)) continue;
    if (step == step_) ++state_.fired[placement.representation];
    const torch::Tensor result = written(part, placement, step);
    if (!result.defined()) continue;
    if (recomputed_prompt_ == 0) {
      value = result;
    } else {
      if (!changed) value = value.clone();
      part = value;
      part_of_step(part, placement, step);
      part.copy_(result);
    }
    changed = true;
  }
  if (changed) replace(context, join_heads(value, placement.site));
}

// The value of one step with what the intervention makes of its units; undefined: it leaves them alone.
torch::Tensor RunScope::written(const torch::Tensor& value, const Placement& placement, std::int64_t step) {
  const UnitIndex index = index_for(placement, step == 0 ? placement.base : placement.base_decoding, value);
  if (!index.any()) return {};
  // A copy of its own for whatever the intervention does with it.
  const torch::Tensor base = index.whole() ? value.clone() : index.gather(value);
  torch::Tensor source = placement.constant;
  if (placement.reads_source) {
    const auto& steps = state_.steps[placement.representation];
    const auto found = steps.find(step);
    source = found != steps.end() ? found->second : state_.sources[placement.representation];
    const RunState::RowCounts& counts = state_.source_counts[placement.representation][found != steps.end() ? step : 0];
    check_counts(counts.units, index.counts(), name_and_site(placement));
    if (has_keys(placement.site)) check_keys(placement, counts.keys, {index.key_counts(), value.size(-1)}, index);
    source = widened(source, base);
  }
  const torch::Tensor result = intervene_by_keys(placement, index, base, source);
  if (!result.defined()) return {};
  return index.scatter(value, result.to(value.options()));
}

void RunScope::collect(const HookContext& context, const Placement& placement) {
  if (placement.unit == Unit::kStep) {
    const CellCall at = cell_call(context.call);
    if (!placement.when.acts(at.step)) return;
    const Steps& steps = steps_at(placement, at.step);
    if (!steps.every && !std::binary_search(steps.read_calls.begin(), steps.read_calls.end(), at.call)) return;
    if (at.step == step_) ++state_.fired[placement.representation];
    const torch::Tensor value = intervene(placement, live(context).clone(), {}, {});
    if (at.step == step_) state_.steps[placement.representation][at.step == 0 ? at.call : kDecoded + at.step] = value;
    return;
  }
  ++state_.fired[placement.representation];
  torch::Tensor value = split_heads(live(context), placement.site);
  part_of_step(value, placement, step_);
  const UnitIndex index = index_for(placement, step_ == 0 ? placement.base : placement.base_decoding, value);
  if (step_ == 0) state_.valid[placement.representation] = index.valid();
  torch::Tensor units = index.whole() ? value.clone() : index.gather(value);
  if (index.valid().defined()) {
    // Places that a row does not have read as zero, not as some other unit.
    torch::Tensor valid = index.valid();
    while (valid.dim() < units.dim()) valid = valid.unsqueeze(-1);
    units = torch::where(valid, units, torch::zeros({}, units.options()));
  }
  const torch::Tensor result = intervene_by_keys(placement, index, units, {});
  if (plan_.generation) {
    state_.steps[placement.representation][step_] = result;
  } else {
    state_.collected[placement.representation] = result;
  }
}

// What the rows that act at this call get from the source or the constant. `chosen` is null without locations.
torch::Tensor RunScope::step_source(const Placement& placement, const Steps::Call* chosen, const CellCall& at) {
  const std::size_t r = placement.representation;
  const bool source_decodes = at.step > 0 && plan_.generation->source_steps == SourceSteps::kSame;
  if (placement.reads_source && (chosen == nullptr || source_decodes)) {
    const auto found = state_.steps[r].find(at.step > 0 ? kDecoded + at.step : at.call);
    if (found == state_.steps[r].end())
      throw PlanError(name_and_site(placement) + ": the source's run ended before step " +
                      std::to_string(at.step > 0 ? at.step : at.call));
    const bool some = chosen != nullptr && chosen->rows.defined() && found->second.size(0) > 1;
    return some ? found->second.index_select(0, chosen->rows) : found->second;
  }
  if (placement.reads_source) {
    if (!state_.step_stack[r].defined()) {
      std::vector<torch::Tensor> steps;
      for (const auto& [step, value] : state_.steps[r]) steps.push_back(value);
      state_.step_stack[r] = torch::cat(steps, 0);
    }
    return state_.step_stack[r].index_select(0, chosen->source_flat);
  }
  torch::Tensor constant = placement.constant;  // [width], [units, width] or [batch, units, width]
  if (!constant.defined() || constant.dim() < 2) return constant;
  const bool of_rows = constant.dim() == 3 && constant.size(0) > 1;
  if (chosen == nullptr) {
    const std::int64_t unit = constant.size(-2) == 1 ? 0 : call_;
    if (unit >= constant.size(-2)) {
      throw PlanError(name_and_site(placement) + ": its constant source has " + std::to_string(constant.size(-2)) +
                      " steps, and the site was called once more");
    }
    return constant.select(-2, unit);
  }
  if (of_rows && chosen->rows.defined()) constant = constant.index_select(0, chosen->rows);
  if (constant.size(-2) == 1) return constant.select(-2, 0);
  if (constant.dim() == 2) return constant.index_select(0, chosen->units);
  const torch::Tensor row =
      of_rows ? torch::arange(constant.size(0), chosen->units.options()) : torch::zeros_like(chosen->units);
  return constant.index({row, chosen->units});
}

void RunScope::write_step(const HookContext& context, const Placement& placement) {
  const CellCall at = cell_call(context.call);
  if (!placement.when.acts(at.step)) return;
  const Steps& steps = steps_at(placement, at.step);
  const Steps::Call* chosen = nullptr;
  if (!steps.every) {
    const auto found = steps.writes.find(at.call);
    if (found == steps.writes.end()) return;
    chosen = &found->second;
  }
  if (at.step == step_) ++state_.fired[placement.representation];
  const torch::Tensor live = this->live(context);
  const torch::Tensor rows = chosen != nullptr ? chosen->rows : torch::Tensor();
  const torch::Tensor base = rows.defined() ? live.index_select(0, rows) : live.clone();
  const torch::Tensor result = intervene(placement, base, step_source(placement, chosen, at), rows);
  if (!result.defined()) return;
  const torch::Tensor typed = result.to(live.options());
  replace(context, rows.defined() ? live.index_copy(0, rows, typed) : typed);
}

Hook make_hook(const PlanData&, std::size_t, std::size_t action) {
  return [action](const HookContext& context) { static_cast<RunScope&>(context.scope).act(context, action); };
}

}  // namespace vene::detail
