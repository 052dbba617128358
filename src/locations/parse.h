// SPDX-License-Identifier: Apache-2.0
// Locations that lie in a larger file. Private: what a program calls is Locations::parse.
#pragma once
#include "src/base/json_reader.h"
#include "vene/locations/locations.h"

namespace vene::detail {

/// The value of "unit_locations".
Locations parse_locations(const Json& json);

}  // namespace vene::detail
