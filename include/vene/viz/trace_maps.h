// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/average_trace.h"
#include "vene/sweep/causal_trace.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// What white and full colour stand for in the maps of a trace.
enum class MapScale : std::uint8_t {
  kOwn,       ///< the lowest and the highest value of each map
  kShared,    ///< of all maps together
  kCorrupted  ///< the corrupted run's probability, as in the ROME paper, and the highest of all maps; less is white too
};

/// The heat maps of a causal trace, one a stream: tokens downwards (a star on the noised ones), layers to the right.
VENE_API std::vector<HeatMap> trace_maps(const CausalTrace& trace, MapScale scale = MapScale::kOwn);
/// The same of many prompts: classes of positions downwards, the average indirect effect in colours.
VENE_API std::vector<HeatMap> trace_maps(const AverageTrace& trace, MapScale scale = MapScale::kOwn);
/// How many prompts, clean and corrupted probability.
VENE_API std::string trace_title(const AverageTrace& trace);
/// Prompt, target, clean and corrupted probability, on one line.
VENE_API std::string trace_title(const CausalTrace& trace);

}  // namespace vene
