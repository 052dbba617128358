// SPDX-License-Identifier: Apache-2.0
// The axes of a spec, and the experiment that is left when their values are put in. Private to the library.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json_reader.h"

namespace vene::detail {

struct Axis {
  std::string name;
  std::vector<Json> values;
};

/// What "all" stands for on an axis of this name; 0: nothing.
struct AxisSizes {
  std::int64_t layers = 0, positions = 0;
};

/// @param text  the whole spec, for the order of its axes
/// ConfigError for an axis without values, or one that is not known what it runs over.
std::vector<Axis> read_axes(JsonReader json, std::string_view text, const AxisSizes& sizes);

/// How many cells axes have. ConfigError for more than a table can hold.
std::size_t count_cells(const std::vector<Axis>& axes);

/// ConfigError where `json` has a name that is no axis, or an axis that is nowhere in it.
void check_names(const Json& json, const std::vector<Axis>& axes);
/// `json` with the values of a cell in place of "$NAME", or of "${NAME}" inside a text.
Json with_values(const Json& json, const std::vector<Axis>& axes, const std::vector<std::size_t>& place);
/// Whether any axis stands in it.
bool has_names(const Json& json);

}  // namespace vene::detail
