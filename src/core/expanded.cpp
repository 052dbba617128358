// SPDX-License-Identifier: Apache-2.0
// Layers in lists, and patterns of names: a representation for each place.
#include <algorithm>

#include "src/base/at_place.h"
#include "vene/base/error.h"
#include "vene/core/plan.h"
#include "vene/hooks/site_pattern.h"

namespace vene {
namespace {

std::vector<RepresentationConfig> places_of(const RepresentationConfig& representation, const models::Model& model) {
  std::optional<std::vector<std::int64_t>> layers;
  if (!representation.all_layers)
    layers = representation.layers.empty() ? std::vector{representation.layer} : representation.layers;
  std::vector<RepresentationConfig> all;
  for (const Site& site : sites_matching(model.sites(), representation.component, layers)) {
    RepresentationConfig one = representation;
    one.layers.clear();
    one.all_layers = false;
    one.component = site.component.empty() ? site.path : site.component;
    one.layer = std::max<std::int64_t>(site.layer, 0);
    all.push_back(std::move(one));
  }
  return all;
}

template <class Entry>
void spread(std::vector<Entry>& entries, const std::vector<std::size_t>& origins, std::size_t before) {
  if (entries.size() != before) return;
  std::vector<Entry> all;
  for (const std::size_t origin : origins) all.push_back(entries[origin]);
  entries = std::move(all);
}

}  // namespace

IntervenableConfig expanded(const IntervenableConfig& config, const models::Model& model,
                            std::vector<std::size_t>* origins) {
  std::vector<std::size_t> from;
  IntervenableConfig all = config;
  all.representations.clear();
  const std::size_t before = config.representations.size();
  for (std::size_t i = 0; i < before; ++i) {
    const RepresentationConfig& representation = config.representations[i];
    std::vector<RepresentationConfig> places{representation};
    if (representation.stands_for_several()) {
      places = detail::at_place("representations[" + std::to_string(i) + "]",
                                [&] { return places_of(representation, model); });
    }
    for (RepresentationConfig& place : places) {
      all.representations.push_back(std::move(place));
      from.push_back(i);
    }
  }
  if (from.size() != before) {
    const bool grouped = std::any_of(config.representations.begin(), config.representations.end(),
                                     [](const RepresentationConfig& one) { return one.group_key.has_value(); });
    // Without keys each representation as it is written is a group.
    for (std::size_t i = 0; i < from.size() && !grouped; ++i)
      all.representations[i].group_key = static_cast<std::int64_t>(from[i]);
    if (all.intervention_types.size() > 1) spread(all.intervention_types, from, before);
    spread(all.intervention_dimensions, from, before);
    std::vector<char> constants(all.intervention_constant_sources.begin(), all.intervention_constant_sources.end());
    spread(constants, from, before);
    all.intervention_constant_sources.assign(constants.begin(), constants.end());
    all.sorted_keys.clear();  // which say how the written ones were called
  }
  if (origins != nullptr) *origins = std::move(from);
  return all;
}

}  // namespace vene
