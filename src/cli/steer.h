// SPDX-License-Identifier: Apache-2.0
// --steer and --steer-token.
#pragma once
#include <string>

#include "vene/config/intervenable_config.h"
#include "vene/models/load.h"

namespace vene::cli {

/// FILE[:scale][@layers]: additions of a control vector's directions, or of a lone vector to all layers.
void add_file_steering(IntervenableConfig& config, const models::LanguageModel& lm, const std::string& spec,
                       const std::string& component);
/// TEXT[:scale][@layers]: additions of the mean embedding of a text's tokens.
void add_token_steering(IntervenableConfig& config, const models::LanguageModel& lm, const std::string& spec,
                        const std::string& component);

}  // namespace vene::cli
