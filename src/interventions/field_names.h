// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <array>
#include <string_view>

namespace vene::detail {

/// The keys of a representation in JSON, in the order of pyvene's positional lists, then those that are not pyvene's.
/// No option of an intervention may be named like one; the table of the parser (src/config/fields.cpp) has these names.
inline constexpr std::array<std::string_view, 18> kFieldNames{"layer",
                                                              "component",
                                                              "unit",
                                                              "max_number_of_units",
                                                              "low_rank_dimension",
                                                              "intervention_type",
                                                              "intervention",
                                                              "subspace_partition",
                                                              "group_key",
                                                              "intervention_link_key",
                                                              "moe_key",
                                                              "source_representation",
                                                              "hidden_source_representation",
                                                              "latent_dim",
                                                              "when",
                                                              "source_site",
                                                              "also_original",
                                                              "keep_last_dim"};

constexpr bool is_field_name(std::string_view name) {
  return std::find(kFieldNames.begin(), kFieldNames.end(), name) != kFieldNames.end();
}

}  // namespace vene::detail
