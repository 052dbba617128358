// SPDX-License-Identifier: Apache-2.0
// Configs that lie in a larger file. Private: what a program calls is IntervenableConfig::parse.
#pragma once
#include "src/base/json.h"
#include "vene/config/intervenable_config.h"

namespace vene::detail {

IntervenableConfig parse_config(const Json& json, const InterventionRegistry& registry, const std::string& folder);
OrderedJson config_json(const IntervenableConfig& config);

}  // namespace vene::detail
