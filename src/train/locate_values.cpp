// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include "src/train/locate_cells.h"
#include "vene/base/error.h"
#include "vene/core/plan.h"

namespace vene::detail {
namespace {

// What a block puts out is what the next one takes in, and the embedding what the first one does: there a row need not run the block before.
Site entry_of(const models::Model& model, const Site& site) {
  const std::int64_t next = site.component == "block_output" ? site.layer + 1 : site.component == "embedding" ? 0 : -1;
  const Site* input = next < 0 ? nullptr : model.sites().try_find("block_input", next);
  return input != nullptr && input->layer == next && input->stage == next && input->axes == site.axes ? *input : site;
}

torch::Tensor collected(const std::shared_ptr<models::Model>& model, const NamedRows& names, const Site& site, const std::string& component) {
  RepresentationConfig representation;
  representation.component = component;
  representation.layer = site.layer;
  representation.intervention_type = "collect";
  IntervenableConfig config;
  config.add_intervention(representation);
  RunRequest request;
  request.base = names.batch;
  request.collect_only = true;
  return run(compile(config, model, build_interventions(config, *model), request), names.batch).collected.at(0).value;
}

}  // namespace

LocateValues read_values(models::StagedModel& model, const NamedRows& names, const std::string& component, const std::vector<std::int64_t>& layers) {
  const torch::NoGradGuard no_grad;
  const std::shared_ptr<models::Model> shared(std::shared_ptr<void>(), &model);  // not owned: it outlives this call
  LocateValues values;
  model.run(model.begin(names.batch, &values.past), 0, model.layer_count());
  values.state = model.begin(names.batch);
  if (values.state.position_ids.defined()) values.state.position_ids = values.state.position_ids.expand({names.batch.rows(), -1});
  std::int64_t stage = 0;
  for (const std::int64_t layer : layers) {
    const Site& asked = model.sites().find(component, std::max<std::int64_t>(layer, 0));
    LocateRow row;
    row.layer = layer;
    row.site = entry_of(model, asked);
    if (row.site.stage < stage) throw PlanError("locate: " + component + " is computed before the first block, and cannot be exchanged by this command");
    values.state = model.run(std::move(values.state), stage, row.site.stage);
    stage = row.site.stage;
    row.hidden = values.state.hidden;
    row.values = collected(shared, names, asked, component);
    if (row.site.id != asked.id && !torch::equal(row.values, row.hidden)) {
      if (asked.stage < 0) throw PlanError("locate: " + component + " is not what goes into the first block of this model; use block_input of layer 0");
      row.site = asked;  // a model that does something between its blocks
    }
    values.rows.push_back(std::move(row));
  }
  values.state.hidden = torch::Tensor();
  return values;
}

}  // namespace vene::detail
