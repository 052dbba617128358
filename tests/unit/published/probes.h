// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vene/models/load.h"

namespace vene_test {

/// Linear probes of a name's gender at every layer and position of "<end of text>NAME walked because", beside published
/// rows [layer, position, accuracy in percent, F1]; what differs, one line each. `names`: gendered_names.json.
std::vector<std::string> probe_differences(const vene::models::LanguageModel& model, const nlohmann::json& published,
                                           const std::filesystem::path& names);

}  // namespace vene_test
