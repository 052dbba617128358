// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/site.h"

namespace vene {

/// Whether a component's name is a pattern: it has a '*', which stands for any letters, none too.
VENE_API bool is_site_pattern(std::string_view component);

/// The sites that a name or a pattern means, layer by layer in the order in which a model names them. A name with a dot
/// is a path, and so is a pattern with one. A pattern takes a value once: of two names for one value the first, so that
/// "head_query_output" comes with "head_*" and not with "*".
/// @param layers  of the sites that have layers; empty: all of them. A path names its layer itself.
/// PlanError with the nearest names where nothing fits, and for a layer that the model does not have.
VENE_API std::vector<Site> sites_matching(const SiteTable& table, std::string_view component,
                                          const std::optional<std::vector<std::int64_t>>& layers = {});

}  // namespace vene
