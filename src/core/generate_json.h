// SPDX-License-Identifier: Apache-2.0
// The "generate" object of an experiment. Private to core.
#pragma once
#include "src/base/json_reader.h"
#include "vene/core/generate.h"

namespace vene::detail {

/// Throws ConfigError with the path of what is wrong. `into` takes what the plan must know: when, source_steps.
/// @param prompt  positions of the longest prompt, which max_length counts
GenerateOptions read_generate(JsonReader json, std::int64_t prompt, Generation& into);

}  // namespace vene::detail
