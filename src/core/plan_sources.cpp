// SPDX-License-Identifier: Apache-2.0
// Which representations get their source from a run, which from a constant, which go without.
#include <algorithm>

#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/models/trusted_batches.h"

namespace vene::detail {
bool same_input(const models::Batch& a, const models::Batch& b) {
  auto same = [](const torch::Tensor& x, const torch::Tensor& y) {
    if (x.defined() != y.defined()) return false;
    if (!x.defined() || x.is_same(y)) return true;
    // Token ids are few: comparing them costs far less than a forward. Gradients must reach the tensor they belong to.
    if (!x.device().is_cpu() && models::TrustedBatches::active()) return false;  // there it costs a wait
    return x.scalar_type() == torch::kInt64 && y.scalar_type() == torch::kInt64 && x.device() == y.device() &&
           x.sizes() == y.sizes() && torch::equal(x, y);
  };
  if (a.extra.size() != b.extra.size()) return false;
  for (std::size_t i = 0; i < a.extra.size(); ++i) {
    if (!same(a.extra[i], b.extra[i])) return false;
  }
  return same(a.input_ids, b.input_ids) && same(a.attention_mask, b.attention_mask) &&
         same(a.inputs_embeds, b.inputs_embeds);
}

void set_sources(PlanData& plan, const RunRequest& request) {
  const std::size_t given = request.sources.size();
  plan.sources_given = given;
  if (given > 1 && given != plan.groups) {
    throw PlanError("sources: " + std::to_string(given) + " given, expected " + std::to_string(plan.groups) +
                    " (one a group of representations; null for a group without) or a single one for all");
  }
  const std::size_t constants = request.source_representations.size();
  if (constants > 1 && constants != plan.placements.size()) {
    throw PlanError("source_representations: " + std::to_string(constants) +
                    " given, expected 1 or one a representation (" + std::to_string(plan.placements.size()) + ")");
  }
  std::vector<bool> wanted(plan.groups, false);
  std::size_t active = 0;
  for (Placement& placement : plan.placements) {
    const bool source_here = given > 0 && request.sources[given == 1 ? 0 : placement.group].has_value();
    placement.constant = placement.intervention->source_representation();
    if (constants > 0) {
      const torch::Tensor& constant = request.source_representations[constants == 1 ? 0 : placement.representation];
      const bool takes = placement.traits.needs_source || placement.traits.takes_source;
      if (constant.defined() && (takes || constants > 1)) {
        if (!takes)
          throw PlanError(name_of(placement) +
                          ": a source representation is given, but this intervention takes no source");
        if (placement.constant.defined()) {
          throw PlanError(name_of(placement) +
                          ": has a constant source of its own, and another is given in source_representations");
        }
        placement.constant = spread_constant(constant, placement.site, "source_representations");
      }
    }
    if (placement.constant.defined()) {
      placement.constant = placement.constant.to(plan.model->device());
    } else if (placement.traits.needs_source) {
      if (source_here) {
        placement.reads_source = true;
      } else if (given == 0) {
        throw PlanError(name_of(placement) +
                        ": this intervention needs a source, and none is given (sources, source_representations, or a "
                        "source_representation in the config)");
      } else {
        placement.skipped = true;
      }
    } else if (placement.traits.takes_source && source_here) {
      placement.reads_source = true;
    }
    if (placement.reads_source) wanted[placement.group] = true;
    if (!placement.skipped) ++active;
  }
  if (active == 0)
    throw PlanError("every intervention is left out, because every source is null: nothing would happen");
  plan.group_has_source = wanted;
  bool any = false;
  for (std::size_t g = 0; g < plan.groups; ++g) {
    any = any || wanted[g];
    if (given > 1 && request.sources[g].has_value() && !wanted[g]) {
      throw PlanError("sources[" + std::to_string(g) +
                      "]: a source is given, but no intervention of this group takes one; give null");
    }
  }
  if (given == 1 && request.sources[0].has_value() && !any)
    throw PlanError("sources: a source is given, but no intervention takes one");
  for (std::size_t g = 0; g < plan.groups; ++g) {
    std::size_t same = g;
    if (wanted[g] && plan.mode == Mode::kParallel) {
      for (std::size_t earlier = 0; earlier < g; ++earlier) {
        if (!wanted[earlier]) continue;
        if (given == 1 || same_input(*request.sources[earlier], *request.sources[g])) {
          same = plan.source_of_group[earlier];
          break;
        }
      }
    }
    plan.source_of_group.push_back(same);
  }
}

}  // namespace vene::detail
