// SPDX-License-Identifier: Apache-2.0
// The forwards of the model, in order, and what happens in each.
#include <algorithm>

#include "src/core/plan_data.h"
#include "vene/base/error.h"

namespace vene::detail {
namespace {

// The queries are a slice of what makes queries, keys and values, and are cut from it after all that happens to it.
// Where a pass acts on both and changes one of them, all happens where the whole is made, in the order of the config.
void order_parts(const PlanData& plan, Pass& pass) {
  const auto site = [&](const Action& action) -> const Site& {
    return site_at(plan.placements[action.placement], action);
  };
  for (Action& action : pass.actions) {
    const std::optional<SitePart>& part = site(action).part;
    if (!part) continue;
    bool whole = false, written = action.act == Act::kWrite;
    for (const Action& other : pass.actions) {
      if (site(other).id != part->whole || site(other).phase != part->phase) continue;
      whole = true;
      written = written || other.act == Act::kWrite;
    }
    action.inside_whole = whole && written;
  }
}

}  // namespace

void add_passes(PlanData& plan) {
  auto act_on_target = [](const Placement& placement) {
    return placement.traits.collects ? Act::kCollect : Act::kWrite;
  };
  if (plan.mode == Mode::kParallel) {
    for (std::size_t g = 0; g < plan.groups; ++g) {
      if (!plan.group_has_source[g] || plan.source_of_group[g] != g) continue;
      Pass pass{g, {}, {}, true};
      for (const Placement& placement : plan.placements) {
        if (placement.reads_source && plan.source_of_group[placement.group] == g)
          pass.actions.push_back({Act::kRead, placement.representation});
      }
      plan.passes.push_back(std::move(pass));
    }
    Pass base{std::nullopt, {}, {}, plan.collect_only};
    for (const Placement& placement : plan.placements) {
      if (!placement.skipped) base.actions.push_back({act_on_target(placement), placement.representation});
    }
    plan.passes.push_back(std::move(base));
  } else {
    // Hop g: what group g read is written into the next source's run, while group g + 1 reads there.
    for (std::size_t g = 0; g <= plan.groups; ++g) {
      const bool is_base = g == plan.groups;
      if (!is_base && !plan.group_has_source[g]) continue;
      Pass pass{is_base ? std::nullopt : std::optional<std::size_t>(g), {}, {}, !is_base || plan.collect_only};
      // A group whose target has no run of its own cannot act.
      for (const Placement& placement : plan.placements) {
        if (!placement.skipped && placement.group + 1 == g)
          pass.actions.push_back({act_on_target(placement), placement.representation});
      }
      for (const Placement& placement : plan.placements) {
        if (!is_base && placement.reads_source && placement.group == g)
          pass.actions.push_back({Act::kRead, placement.representation});
      }
      plan.passes.push_back(std::move(pass));
    }
    for (const Placement& placement : plan.placements) {
      if (placement.skipped || placement.group + 1 == plan.groups || plan.group_has_source[placement.group + 1])
        continue;
      throw PlanError(name_of(placement) + ": in serial mode it acts on the run of source " +
                      std::to_string(placement.group + 1) + ", which is null");
    }
  }
  for (Pass& pass : plan.passes) order_parts(plan, pass);
  Pass original{std::nullopt, {}, {}, !plan.original};
  for (const Placement& placement : plan.placements) {
    if (placement.also_original && !placement.skipped)
      original.actions.push_back({Act::kCollect, placement.representation});
  }
  if (!original.actions.empty()) plan.original_pass = std::move(original);
  if (plan.generation && plan.generation->source_steps == SourceSteps::kSame) {
    for (Pass& pass : plan.passes) pass.ends_early = false;
  }
  if (plan.collect_only && std::none_of(plan.placements.begin(), plan.placements.end(),
                                        [](const Placement& p) { return p.traits.collects; })) {
    throw PlanError("collect_only is set, but no intervention collects");
  }
}

}  // namespace vene::detail
