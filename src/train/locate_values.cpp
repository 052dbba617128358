// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include <optional>

#include "src/train/locate_cells.h"
#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"

namespace vene::detail {
namespace {

// The stage that takes in what a site has: what a block puts out goes into the next one, and the embedding into the
// first. None for other sites.
std::optional<std::int64_t> stage_after(const Site& site) {
  if (site.component == "block_output") return site.layer + 1;
  if (site.component == "block_input") return site.layer;
  if (site.component == "embedding") return 0;
  return std::nullopt;
}

torch::Tensor value_at(models::Model& model, const models::Batch& batch, const Site& site) {
  torch::Tensor value;
  HookTable hooks;
  const auto keep = [&](const HookContext& context) {
    value = context.value().clone();
    context.scope.stop();
  };
  hooks.on(site.id, site.phase, keep, site_text(site));
  const HookScope scope(hooks);
  run_until_stopped([&] { model.forward(batch); });
  if (!value.defined()) throw PlanError("locate: the model did not reach " + site_text(site));
  return value;
}

}  // namespace

torch::Tensor looked_into(const torch::Tensor& value, const Site& site, const LocateOptions& options) {
  return options.head ? value.narrow(2, *options.head * site.width, site.width) : value;
}

LocateValues read_values(models::StagedModel& model, const NamedRows& names, const LocateOptions& options,
                         const std::vector<std::int64_t>& layers) {
  const torch::NoGradGuard no_grad;
  LocateValues values;
  model.run(model.begin(names.batch, &values.past), 0, model.layer_count());
  values.state = model.begin(names.batch);
  if (values.state.position_ids.defined())
    values.state.position_ids = values.state.position_ids.expand({names.batch.rows(), -1});
  std::int64_t stage = 0;
  for (const std::int64_t layer : layers) {
    const Site& asked = model.sites().find(options.component, std::max<std::int64_t>(layer, 0));
    LocateRow row;
    row.layer = layer;
    const auto run_to = [&](std::int64_t next) {
      values.state = model.run(std::move(values.state), stage, next);
      stage = next;
      return values.state.hidden;
    };
    row.site = asked;
    row.stage = asked.stage;
    row.values = looked_into(value_at(model, names.batch, asked), asked, options);
    if (asked.stage >= 0) row.hidden = run_to(asked.stage);
    if (const std::optional<std::int64_t> after = stage_after(asked)) {
      const torch::Tensor entering = run_to(*after);
      row.at_entry = torch::equal(row.values, entering);  // not in a model that does something between its blocks
      if (row.at_entry) row.stage = *after, row.hidden = entering;
    }
    if (row.stage < 0) {
      throw PlanError("locate: " + options.component +
                      (stage_after(asked)
                           ? " is not what goes into the first block of this model; use block_input of layer 0"
                           : " is computed before the first block, and cannot be exchanged by this command"));
    }
    values.rows.push_back(std::move(row));
  }
  values.state.hidden = torch::Tensor();
  return values;
}

}  // namespace vene::detail
