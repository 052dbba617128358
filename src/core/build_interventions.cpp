// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/core/plan_data.h"

namespace vene {

std::vector<std::shared_ptr<Intervention>> build_interventions(const IntervenableConfig& config, const models::Model& model,
                                                               const InterventionRegistry& registry) {
  std::vector<std::shared_ptr<Intervention>> interventions;
  std::vector<std::pair<ConfigKey, std::shared_ptr<Intervention>>> linked;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    if (representation.intervention_link_key) {
      const auto found = std::find_if(linked.begin(), linked.end(), [&](const auto& link) { return link.first == *representation.intervention_link_key; });
      if (found != linked.end()) {
        interventions.push_back(found->second);
        continue;
      }
    }
    std::shared_ptr<Intervention> built = representation.intervention;
    if (!built) {
      InterventionSettings settings;
      const Site& site = detail::site_of(config, i, model);
      settings.width = site.width * representation.max_number_of_units;
      settings.low_rank_dimension = representation.low_rank_dimension;
      settings.latent_dim = representation.latent_dim;
      settings.subspace_partition = representation.subspace_partition;
      settings.source_representation = representation.source_representation;
      const InterventionInfo& info = registry.at(config.type_of(i));
      settings.options = representation.options;
      for (const OptionInfo& option : info.options) {
        if (!settings.options.contains(option.name) && option.default_value) settings.options[option.name] = *option.default_value;
      }
      built = info.build(settings);
      if (i < config.intervention_dimensions.size()) built->interchange_dim = config.intervention_dimensions[i];
    }
    if (representation.intervention_link_key) linked.emplace_back(*representation.intervention_link_key, built);
    interventions.push_back(std::move(built));
  }
  return interventions;
}

}  // namespace vene
