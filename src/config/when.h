// SPDX-License-Identifier: Apache-2.0
// When, in JSON. Private to config and core.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "vene/config/when.h"

namespace vene::detail {

/// "prompt", "decode", "both" or {"steps": [0, 3, {"span": [5, 8]}]}, where a span's end may be null. Throws
/// ConfigError with the path of what is wrong.
When when_from_json(const nlohmann::json& value, const std::string& path);
nlohmann::json when_to_json(const When& when);
nlohmann::json when_schema();

}  // namespace vene::detail
