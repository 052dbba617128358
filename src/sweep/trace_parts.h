// SPDX-License-Identifier: Apache-2.0
// What a trace of one prompt and one of many share.
#pragma once
#include "src/base/json.h"
#include "vene/sweep/causal_trace.h"

namespace vene::detail {

/// Throws what `causal_trace` would for a prompt, without running the model.
void check_causal_trace(const models::LanguageModel& model, const std::string& prompt,
                        const CausalTraceOptions& options);
/// What trace.json holds of one prompt.
OrderedJson trace_object(const CausalTrace& trace);

}  // namespace vene::detail
