// SPDX-License-Identifier: Apache-2.0
// When, in JSON. Private to config and core.
#pragma once
#include "src/base/json_reader.h"
#include "vene/config/when.h"

namespace vene::detail {

/// "prompt", "decode", "both" or {"steps": [0, 3, {"span": [5, 8]}]}, where a span's end may be null. Throws
/// ConfigError with the path of what is wrong.
When when_from_json(JsonReader value);
Json when_to_json(const When& when);
Json when_schema();

}  // namespace vene::detail
