// SPDX-License-Identifier: Apache-2.0
// An experiment that is JSON already. Private: what a program calls takes text or a path.
#pragma once
#include "src/base/json.h"
#include "vene/core/experiment.h"

namespace vene::detail {

Experiment parse_experiment(const Json& json, const models::LanguageModel& model, const std::string& folder,
                            const InterventionRegistry& registry = InterventionRegistry::standard());

}  // namespace vene::detail
