// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/patch.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// The effects of an interchange grid as heat maps, one a component: tokens (or heads) downwards, layers to the right;
/// with both, heads as "layer.head" to the right. Over layers alone one map, with a row a component. White is 0 or the
/// lowest effect, full colour 1 or the highest. Where both runs have the same metric, so that there are no effects, the
/// metric itself.
VENE_API std::vector<HeatMap> patch_maps(const PatchGrid& grid);
/// Direction, metric of both runs and number of pairs, on one line.
VENE_API std::string patch_title(const PatchGrid& grid);

}  // namespace vene
