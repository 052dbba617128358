// SPDX-License-Identifier: Apache-2.0
// In what order a model runs the sites of a pass: tried on a row of the base, with nothing changed.
#include <torch/utils.h>

#include <algorithm>
#include <limits>

#include "src/core/plan_data.h"

namespace vene::detail {

std::vector<Action> in_run_order(const PlanData& plan, const Pass& pass) {
  std::vector<std::int64_t> reached(pass.actions.size(), std::numeric_limits<std::int64_t>::max());
  std::int64_t next = 0;
  HookTable table;
  for (std::size_t i = 0; i < pass.actions.size(); ++i) {
    const HookPlace place = place_of(plan.placements[pass.actions[i].placement], pass.actions[i]);
    table.on(place.site, place.phase, [&reached, &next, i](const HookContext&) {
      if (reached[i] == std::numeric_limits<std::int64_t>::max()) reached[i] = next++;
    });
  }
  try {
    const torch::NoGradGuard no_grad;
    const HookScope scope(table);
    plan.model->forward(plan.probe);
  } catch (const std::exception&) {
    return pass.actions;  // a run says what is wrong with the input
  }
  std::vector<std::size_t> order(pass.actions.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return reached[a] < reached[b]; });
  std::vector<Action> actions;
  for (const std::size_t i : order) actions.push_back(pass.actions[i]);
  return actions;
}

}  // namespace vene::detail
