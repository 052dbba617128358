// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/core/run_scope.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/models/trusted_batches.h"

namespace vene {
namespace {

using detail::Act;
using detail::Pass;
using detail::Placement;
using detail::PlanData;
using detail::RunState;

// Runs the model's base pass, from the start or from a state before one of its blocks.
models::Output forward(models::Model& model, const models::Batch& batch, const RunOptions& options) {
  auto* staged = dynamic_cast<models::StagedModel*>(&model);
  if (!options.start && !options.logit_positions.defined() && options.cache == nullptr) return model.forward(batch);
  if (staged == nullptr)
    throw PlanError("this model (" + model.architecture() + ") cannot be cut: no start state, no logit positions");
  models::StageState state = options.start ? options.start->state : staged->begin(batch, options.cache);
  torch::Tensor positions = options.logit_positions;
  const std::int64_t length = batch.positions();
  // Where they are on a device it is not worth waiting for them.
  if (positions.defined() && positions.numel() > 0 && positions.device().is_cpu())
    state.wanted = std::max<std::int64_t>(1, length - positions.min().item<std::int64_t>());
  state = staged->run(std::move(state), options.start ? options.start->stage : 0, staged->layer_count());
  if (state.wanted > 0 && state.hidden.size(1) < length) positions = positions - (length - state.hidden.size(1));
  return staged->finish(state, positions);
}

void check_fired(const PlanData& plan, const Pass& pass, const HookScope& scope, const RunState& state) {
  for (const detail::Action& action : pass.actions) {
    const Placement& placement = plan.placements[action.placement];
    const detail::HookPlace place = detail::place_of(placement, action);
    const Site& site = detail::site_at(placement, action);
    const std::int64_t reached = scope.fire_count(place.site, place.phase);
    const std::string name = placement.where + " (" + placement.key + ")";
    const char* what = action.act == Act::kWrite ? "its write" : "its read";
    if (reached == 0) {
      std::string hint;
      if (const auto near =
              name_hint(site.component.empty() ? site.path : site.component, plan.model->sites().components());
          site.component.empty()) {
        hint = near;
      }
      throw PlanError(name + ": " + what + " never fired, because the model did not reach " + site_text(site) +
                      " in this run" + hint);
    }
    if (placement.unit != Unit::kStep || placement.steps.every) continue;
    const std::int64_t last = action.act == Act::kWrite ? placement.steps.last_write() : placement.steps.last_read();
    if (last >= reached) {
      throw PlanError(name + ": " + what + " at step " + std::to_string(last) + " never fired, because " +
                      site_text(site) + " was called " + std::to_string(reached) + " times");
    }
  }
  (void)state;
}

}  // namespace

namespace detail {

void check_inputs(const PlanData& plan, const models::Batch& base,
                  const std::vector<std::optional<models::Batch>>& sources) {
  const auto check = [](const models::Batch& batch, const PlanData::InputShape& expected, const std::string& name) {
    const std::vector<std::int64_t> sizes =
        batch.primary().defined() ? batch.primary().sizes().vec() : std::vector<std::int64_t>{};
    if (sizes != expected.sizes) {
      throw PlanError(name + " has shape " + shape_text(sizes) + ", the plan was compiled for " +
                      shape_text(expected.sizes));
    }
    if (batch.attention_mask.is_same(expected.mask)) return;
    if (batch.attention_mask.defined() && !batch.attention_mask.is_cpu() && models::TrustedBatches::active()) return;
    const RowTexts texts = RowTexts::of(batch.primary(), batch.attention_mask, {}, nullptr);
    if (texts.begin != expected.texts.begin || texts.end != expected.texts.end)
      throw PlanError(name + " is padded otherwise than what the plan was compiled for; compile again");
  };
  check(base, plan.base_shape, "base");
  if (sources.size() != plan.sources_given) {
    throw PlanError(std::to_string(sources.size()) + " sources given, the plan was compiled for " +
                    std::to_string(plan.sources_given));
  }
  for (std::size_t g = 0; g < plan.groups; ++g) {
    if (!plan.group_has_source[g]) continue;
    const auto& source = sources[sources.size() == 1 ? 0 : g];
    if (!source) throw PlanError("sources[" + std::to_string(g) + "] is null, the plan was compiled with one");
    const std::size_t runs = plan.source_of_group[g];
    check(*source, plan.source_shapes.at(runs), "sources[" + std::to_string(g) + "]");
    if (runs != g && sources.size() > 1 && !same_input(*sources[runs], *source)) {
      throw PlanError("sources[" + std::to_string(g) + "] was the same input as sources[" + std::to_string(runs) +
                      "] when the plan was compiled; compile again");
    }
  }
}

}  // namespace detail

Result run(const Plan& handle, const models::Batch& base, const std::vector<std::optional<models::Batch>>& sources,
           const RunOptions& options) {
  const PlanData& plan = handle.data();
  if (plan.generation) throw PlanError("this plan is for generate, not for run");
  detail::check_inputs(plan, base, sources);
  Result result;
  RunState state(plan.placements.size()), before(plan.original_pass ? plan.placements.size() : 0);
  if (plan.original_pass) {
    detail::RunScope scope(plan, *plan.original_pass, before);
    run_until_stopped([&] {
      models::Output output = forward(*plan.model, base, options);
      if (plan.original) result.original = std::move(output);
    });
    check_fired(plan, *plan.original_pass, scope, before);
  } else if (plan.original) {
    const HooksDisabled undisturbed;
    result.original = forward(*plan.model, base, options);
  }
  for (std::size_t p = 0; p < plan.passes.size(); ++p) {
    const Pass& pass = plan.passes[p];
    detail::RunScope scope(plan, p, state);
    if (pass.group) {
      const models::Batch& input = *sources[sources.size() == 1 ? 0 : *pass.group];
      run_until_stopped([&] { plan.model->forward(input); });
    } else if (pass.ends_early) {
      run_until_stopped([&] { forward(*plan.model, base, options); });
    } else {
      result.intervened = forward(*plan.model, base, options);
    }
    check_fired(plan, pass, scope, state);
  }
  for (const Placement& placement : plan.placements) {
    const std::size_t r = placement.representation;
    if (placement.skipped) continue;
    result.fired.push_back({placement.key, site_text(placement.site), state.fired[r]});
    if (!placement.traits.collects) continue;
    Collected collected{placement.key, r, {}, {}, {}};
    const bool by_step = placement.unit == Unit::kStep;
    const auto value = [&](const RunState& of) {
      return by_step ? detail::assemble_steps(placement.steps, of.steps[r]) : of.collected[r];
    };
    collected.value = value(state);
    collected.valid = by_step ? placement.steps.collect_valid : state.valid[r];
    if (placement.also_original) collected.original = value(before);
    result.collected.push_back(std::move(collected));
  }
  return result;
}

const torch::Tensor& Result::collected_value(std::string_view key) const {
  std::vector<std::string> keys;
  for (const Collected& entry : collected) {
    if (entry.key == key) return entry.value;
    keys.push_back(entry.key);
  }
  throw PlanError("nothing was collected under '" + std::string(key) + "'" + name_hint(key, keys));
}

std::optional<std::int64_t> Plan::first_stage() const {
  std::optional<std::int64_t> first;
  for (const detail::Action& action : data_->passes.back().actions) {
    if (action.act != Act::kWrite) continue;
    const Site& site = data_->placements[action.placement].site;
    // What a bare path's stage is, is not known: it may be anywhere.
    const std::int64_t stage = site.component.empty() ? -1 : site.stage;
    first = first ? std::min(*first, stage) : stage;
  }
  return first;
}

std::string Plan::describe() const {
  std::string text;
  std::vector<const Pass*> passes;
  if (data_->original_pass) passes.push_back(&*data_->original_pass);
  for (const Pass& pass : data_->passes) passes.push_back(&pass);
  for (const Pass* one : passes) {
    const Pass& pass = *one;
    if (one == (data_->original_pass ? &*data_->original_pass : nullptr)) text += "original ";
    text += pass.group ? "source " + std::to_string(*pass.group) : std::string("base");
    text += pass.ends_early ? " (ends after its last site)\n" : "\n";
    for (const detail::Action& action : detail::in_run_order(*data_, pass)) {
      const Placement& placement = data_->placements[action.placement];
      const char* verb = action.act == Act::kRead ? "read" : action.act == Act::kWrite ? "write" : "collect";
      text += std::string("  ") + verb + " " + site_text(detail::site_at(placement, action)) + " for " + placement.key;
      const detail::Side& side = action.act == Act::kRead ? placement.source : placement.base;
      if (side.index && !side.selection) text += ", the whole value";
      if (data_->generation && action.act != Act::kRead) text += ", when: " + placement.when.text();
      text += "\n";
    }
  }
  return text;
}

}  // namespace vene
