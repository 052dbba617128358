// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/sweep_spec.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// Heat maps of a sweep's means over rows: its last axis to the right, the one before downwards, a map for each
/// combination of the others. Failed cells are white.
VENE_API std::vector<HeatMap> sweep_maps(const SweepTable& table);

}  // namespace vene
