// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/ablate.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// What the metric loses (of kl and rank: gains) without each unit, as heat maps, one a kind of unit: components, heads
/// or neurons downwards, layers to the right; neurons as rows of 64 below each other. Not for greedy ablations.
VENE_API std::vector<HeatMap> ablation_maps(const Ablation& ablation);
/// The metric over the number of units that are ablated together: of greedy ablations.
VENE_API Curve ablation_curve(const Ablation& ablation);
/// Kind, metric of the clean run and number of pairs, on one line.
VENE_API std::string ablation_title(const Ablation& ablation);
/// "attention_output 3 head 2"
VENE_API std::string unit_text(const Ablation::Unit& unit);

}  // namespace vene
