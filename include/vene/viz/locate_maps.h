// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/train/locate.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// Two heat maps: interchange accuracy of the trained directions, and accuracy of the probes. Tokens downwards, layers
/// to the right, both from white at 0 to full colour at 1.
VENE_API std::vector<HeatMap> locate_maps(const LocateResult& result);
/// Template, answers, names used and accuracy without interventions, on one line.
VENE_API std::string locate_title(const LocateResult& result);

}  // namespace vene
