// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"
#include "vene/train/locate.h"

namespace vene {

IntervenableModel locate_interventions(const LocateResult& result, const models::LanguageModel& model) {
  const std::int64_t first = result.name_column, count = static_cast<std::int64_t>(result.tokens.size()) - first;
  IntervenableConfig config;
  for (const std::int64_t layer : result.layers) {
    RepresentationConfig representation{.layer = std::max<std::int64_t>(layer, 0),
                                        .component = result.options.component,
                                        .intervention_type = "directions",
                                        .options = {{"count", count}}};
    if (result.options.head) representation.unit = "h.pos";
    config.add_intervention(std::move(representation));
  }
  IntervenableModel made(std::move(config), model.model);
  const torch::NoGradGuard no_grad;
  for (std::size_t row = 0; row < result.layers.size(); ++row) {
    torch::Tensor directions = made->interventions()[row]->named_parameters()["directions"];
    if (directions.size(1) != result.directions.at(row).size(1)) {
      throw PlanError("locate: the directions are " + std::to_string(result.directions[row].size(1)) + " wide, " +
                      result.options.component + " of this model is " + std::to_string(directions.size(1)));
    }
    directions.copy_(result.directions[row].narrow(0, first, count));
  }
  return made;
}

}  // namespace vene
