// SPDX-License-Identifier: Apache-2.0
#include "src/core/run_scope.h"

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

std::string name_of(const Placement& placement) { return placement.where + " (" + placement.key + ") at " + site_text(placement.site); }

// The index made at compile time, or one for the sizes that came.
UnitIndex index_for(const Placement& placement, const Side& side, const torch::Tensor& value) {
  if (!side.selection) return {};
  if (side.index && side.index->sizes() == value.sizes()) return *side.index;
  return make_index(placement, side, value_axes(placement.site, value.dim()), value.sizes().vec(), value.device());
}

// [batch, units, width] -> [batch, units * width]; [batch, heads, units, width] -> [batch, units, heads * width].
torch::Tensor flatten_units(const torch::Tensor& value) {
  return value.dim() == 4 ? value.transpose(1, 2).flatten(2) : value.flatten(1);
}

// The same of a source, which may be one row, one unit or one vector for all.
torch::Tensor flatten_source(const torch::Tensor& source, const torch::Tensor& base, std::int64_t width) {
  if (!source.defined() || (source.size(-1) == width && source.dim() < base.dim())) return source;
  return flatten_units(broadcast_source(base, source));
}

torch::Tensor unflatten_units(const torch::Tensor& value, c10::IntArrayRef sizes) {
  if (sizes.size() == 4) return value.reshape({sizes[0], sizes[2], sizes[1], sizes[3]}).transpose(1, 2);
  return value.reshape(sizes);
}

Subspace rows_of(const Subspace& subspace, const torch::Tensor& rows) {
  if (!rows.defined() || subspace.all() || subspace.columns.dim() == 1) return subspace;
  return {subspace.columns.index_select(0, rows), subspace.valid.defined() ? subspace.valid.index_select(0, rows) : torch::Tensor()};
}

}  // namespace

void RunScope::act(const HookContext& context, std::size_t index) {
  const Action& action = pass_.actions[index];
  const Placement& placement = plan_.placements[action.placement];
  const bool by_step = placement.unit == Unit::kStep;
  if (context.call > 0 && !by_step) {
    throw PlanError(name_of(placement) + ": the site fired more than once in one run; unit 't' picks the calls to act on");
  }
  switch (action.act) {
    case Act::kRead:
      read(context, placement);
      break;
    case Act::kWrite:
      by_step ? write_step(context, placement) : write(context, placement);
      break;
    case Act::kCollect:
      collect(context, placement);
      break;
  }
  const bool done = !by_step || (action.act != Act::kWrite && !placement.steps.every && context.call == placement.steps.last_read);
  if (done && --pending_ == 0 && pass_.ends_early) stop();
}

void RunScope::read(const HookContext& context, const Placement& placement) {
  if (placement.traits.source_is_module_input && (context.phase != Phase::kOutput || context.inputs.empty())) {
    throw PlanError(name_of(placement) + ": skip takes the input of the site's module, and this site has none (use the output of a block, of an MLP or of attention)");
  }
  const torch::Tensor live = placement.traits.source_is_module_input ? *context.inputs[0] : context.value();
  if (placement.unit == Unit::kStep) {
    const auto& wanted = placement.steps.read_calls;
    if (placement.steps.every || std::binary_search(wanted.begin(), wanted.end(), context.call)) {
      state_.steps[placement.representation][context.call] = live.clone();
    }
    return;
  }
  const torch::Tensor value = split_heads(live, placement.site);
  const UnitIndex index = index_for(placement, placement.source, value);
  torch::Tensor units = index.gather(value);
  state_.sources[placement.representation] = index.whole() ? units.clone() : units;
}

torch::Tensor RunScope::intervene(const Placement& placement, const torch::Tensor& base, const torch::Tensor& source, const torch::Tensor& rows) {
  Subspace subspace;
  if (placement.subspace) {
    subspace = rows_of(*placement.subspace, rows);
  } else {
    subspace = rows_of(compile_subspace(*placement.subspace_ids, placement.intervention->subspace_partition(),
                                        placement.intervention->subspace_width(base.size(-1)), placement.base.rows,
                                        base.device(), placement.where),
                       rows);
  }
  // One made for the width of a unit takes the units one by one; one made for several at once sees them side by side.
  const std::int64_t width = placement.intervention->width();
  if (width == 0 || base.size(-1) == width) return placement.intervention->forward(base, source, subspace);
  const torch::Tensor flat = base.dim() > 2 ? flatten_units(base) : base;
  if (flat.size(-1) != width) {
    throw PlanError(name_of(placement) + ": the intervention is made for a width of " + std::to_string(width) + " (the site's times max_number_of_units), the value has shape " +
                    shape_text(base.sizes()) + "; set max_number_of_units to the number of " + (base.dim() == 4 ? "heads" : "units"));
  }
  const torch::Tensor result = placement.intervention->forward(flat, flatten_source(source, base, width), subspace);
  return result.defined() && !placement.traits.collects ? unflatten_units(result, base.sizes()) : result;
}

void RunScope::write(const HookContext& context, const Placement& placement) {
  torch::Tensor& live = context.value();
  const torch::Tensor value = split_heads(live, placement.site);
  const UnitIndex index = index_for(placement, placement.base, value);
  ++state_.fired[placement.representation];
  if (!index.any()) return;
  // A copy of its own for whatever the intervention does with it.
  const torch::Tensor base = index.whole() ? value.clone() : index.gather(value);
  const torch::Tensor& source = placement.constant.defined() ? placement.constant : state_.sources[placement.representation];
  const torch::Tensor result = intervene(placement, base, source, {});
  if (!result.defined()) return;
  if (result.sizes() != base.sizes()) {
    throw PlanError(name_of(placement) + ": the intervention returned shape " + shape_text(result.sizes()) + ", expected " + shape_text(base.sizes()));
  }
  live = join_heads(index.scatter(value, result.to(value.options())), placement.site);
}

void RunScope::collect(const HookContext& context, const Placement& placement) {
  ++state_.fired[placement.representation];
  if (placement.unit == Unit::kStep) {
    const auto& wanted = placement.steps.read_calls;
    if (placement.steps.every || std::binary_search(wanted.begin(), wanted.end(), context.call)) {
      state_.steps[placement.representation][context.call] = intervene(placement, context.value().clone(), {}, {});
    }
    return;
  }
  const torch::Tensor value = split_heads(context.value(), placement.site);
  const UnitIndex index = index_for(placement, placement.base, value);
  torch::Tensor units = index.whole() ? value.clone() : index.gather(value);
  if (index.valid().defined()) {
    // Places that a row does not have read as zero, not as some other unit.
    torch::Tensor valid = index.valid();
    while (valid.dim() < units.dim()) valid = valid.unsqueeze(-1);
    units = units * valid.to(units.scalar_type());
  }
  state_.collected[placement.representation] = intervene(placement, units, {}, {});
}

void RunScope::write_step(const HookContext& context, const Placement& placement) {
  const std::size_t r = placement.representation;
  torch::Tensor& live = context.value();
  torch::Tensor source = placement.constant;
  if (placement.steps.every) {
    ++state_.fired[r];
    if (placement.reads_source) {
      const auto found = state_.steps[r].find(context.call);
      if (found == state_.steps[r].end()) {
        throw PlanError(name_of(placement) + ": the source's run ended before step " + std::to_string(context.call));
      }
      source = found->second;
    }
    const torch::Tensor result = intervene(placement, live.clone(), source, {});
    if (result.defined()) live = result.to(live.options());
    return;
  }
  const auto found = placement.steps.writes.find(context.call);
  if (found == placement.steps.writes.end()) return;
  ++state_.fired[r];
  const Steps::Call& call = found->second;
  if (placement.reads_source) {
    if (!state_.step_stack[r].defined()) {
      std::vector<torch::Tensor> steps;
      for (const auto& [step, value] : state_.steps[r]) steps.push_back(value);
      state_.step_stack[r] = torch::cat(steps, 0);
    }
    source = state_.step_stack[r].index_select(0, call.source_flat);
  } else if (source.defined() && call.rows.defined() && source.dim() == live.dim() && source.size(0) == live.size(0)) {
    source = source.index_select(0, call.rows);
  }
  const torch::Tensor base = call.rows.defined() ? live.index_select(0, call.rows) : live.clone();
  const torch::Tensor result = intervene(placement, base, source, call.rows);
  if (!result.defined()) return;
  if (result.sizes() != base.sizes()) {
    throw PlanError(name_of(placement) + ": the intervention returned shape " + shape_text(result.sizes()) + ", expected " + shape_text(base.sizes()));
  }
  live = call.rows.defined() ? live.index_copy(0, call.rows, result.to(live.options())) : result.to(live.options());
}

Hook make_hook(const PlanData&, std::size_t, std::size_t action) {
  return [action](const HookContext& context) { static_cast<RunScope&>(context.scope).act(context, action); };
}

}  // namespace vene::detail
