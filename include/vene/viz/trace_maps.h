// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/causal_trace.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// The heat maps of a causal trace, one a stream: tokens downwards (a star on the noised ones), layers to the right.
VENE_API std::vector<HeatMap> trace_maps(const CausalTrace& trace);
/// Prompt, target, clean and corrupted probability, on one line.
VENE_API std::string trace_title(const CausalTrace& trace);

}  // namespace vene
