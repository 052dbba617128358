// SPDX-License-Identifier: Apache-2.0
// What an intervention makes of the units found at a site, whoever runs it.
#pragma once
#include <string>

#include "vene/hooks/site.h"
#include "vene/interventions/intervention.h"
#include "vene/locations/resolve.h"

namespace vene::detail {

/// A source with as many units as its base: rows of fewer have one, which serves all.
torch::Tensor widened(torch::Tensor source, const torch::Tensor& base);

/// Which axis of the units gathered at a site runs over heads; 0: none does.
/// @param named  units are named, which puts them first: else the value is whole, its axes as they are
std::int64_t head_axis(const Site& site, Unit unit, bool named, std::int64_t dimensions);

/// The intervention's answer to units [rows, units..., width] in their own precision, whatever autocast says. One made
/// for the width of a unit takes the units one by one; one made for several at once sees them side by side. Undefined:
/// it leaves them alone. PlanError, beginning with `where`, for a width or an answer of another shape.
/// @param firing  what current_firing() says meanwhile
torch::Tensor apply(Intervention& intervention, const torch::Tensor& base, const torch::Tensor& source,
                    const Subspace& subspace, const Firing& firing, const std::string& where);

}  // namespace vene::detail
