// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/load.h"
#include "vene/train/trainer.h"

namespace vene::train {

/// One training, as a file says it. docs/training.md describes the JSON.
struct TrainSpec {
  IntervenableConfig config{};
  std::string config_folder{};  ///< set when "config" names a saved folder
  std::vector<Example> examples{}, validation{}, test{};
  TrainOptions options{};
  bool train_model = false;                ///< the model trains along,
  std::vector<std::string> model_parts{};  ///< these parts of it; empty: all of it
};

/// @param folder  relative paths in the spec are looked up from here
/// Throws ConfigError with the path of what is wrong; IoError for files it names.
VENE_API TrainSpec parse_train_spec(std::string_view json, const models::LanguageModel& model,
                                    const std::string& folder = ".",
                                    const InterventionRegistry& registry = InterventionRegistry::standard());
VENE_API TrainSpec load_train_spec(const std::string& path, const models::LanguageModel& model,
                                   const InterventionRegistry& registry = InterventionRegistry::standard());

/// The model with the spec's interventions, those of its saved folder where it names one, and with the gradients that
/// it asks for.
VENE_API IntervenableModel make_intervenable(const TrainSpec& spec, const models::LanguageModel& model,
                                             const InterventionRegistry& registry = InterventionRegistry::standard());

}  // namespace vene::train
