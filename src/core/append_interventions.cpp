// SPDX-License-Identifier: Apache-2.0
// Further interventions for an experiment: everything that is listed a representation gets an empty entry for each of
// them.
#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/core/experiment.h"

namespace vene {
namespace {

// A list with one entry a representation, or a single one for all of the `before` there were: one entry each, and empty
// ones up to `after`.
template <class Entry>
void widen(std::vector<Entry>& entries, std::size_t before, std::size_t after) {
  if (entries.empty()) return;
  if (entries.size() == 1) entries.resize(before, entries[0]);
  entries.resize(after);
}

void widen(SideSelection& side, std::size_t before, std::size_t after) {
  if (side.for_all && !side.units.empty()) side.units.resize(before, side.units[0]);
  side.for_all = false;
  side.units.resize(after);
}

// A saved folder is of its own config: what is read from it goes on as ready interventions.
void take_saved(Experiment& experiment, const models::LanguageModel& model, const InterventionRegistry& registry) {
  if (experiment.config_folder.empty()) return;
  const auto saved = IntervenableModelImpl::load(experiment.config_folder, model.model, registry);
  IntervenableConfig& config = experiment.config;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    config.representations[i].intervention = saved->interventions()[i];
    config.representations[i].intervention_link_key.reset();
  }
  experiment.config_folder.clear();
}

}  // namespace

void set_when(Experiment& experiment, const When& when, const models::LanguageModel& model,
              const InterventionRegistry& registry) {
  take_saved(experiment, model, registry);
  for (RepresentationConfig& representation : experiment.config.representations) representation.when.reset();
  if (!experiment.request.generation) experiment.request.generation.emplace();
  experiment.request.generation->when = when;
}

void append_interventions(Experiment& experiment, const std::vector<RepresentationConfig>& more,
                          const models::LanguageModel& model, const InterventionRegistry& registry) {
  if (more.empty()) return;
  IntervenableConfig& config = experiment.config;
  if (config.mode == Mode::kSerial)
    throw PlanError("a config in serial mode takes no further interventions: each would be one more run");
  take_saved(experiment, model, registry);
  const std::size_t before = config.representations.size();
  for (RepresentationConfig representation : more) {
    // It takes no source, so it may stand in the last group.
    if (before > 0) representation.group_key = config.representations[before - 1].group_key;
    config.add_intervention(std::move(representation));
  }
  const std::size_t after = config.representations.size();
  RunRequest& request = experiment.request;
  if (request.sources.size() > 1) {  // a single one is for all, also for those that take none
    std::size_t groups = 0;
    detail::group_of_representations(config, groups);
    request.sources.resize(groups);
  }
  widen(request.subspaces, before, after);
  widen(request.source_representations, before, after);
  for (auto& [name, hop] : request.locations.hops) {
    if (hop.source) widen(*hop.source, before, after);
    widen(hop.base, before, after);
  }
}

}  // namespace vene
