// SPDX-License-Identifier: Apache-2.0
// What standard output can show.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "vene/viz/heat_map.h"

namespace vene::cli {

/// Columns of the terminal behind standard output, or what COLUMNS says; `otherwise` where neither is known.
std::size_t terminal_width(std::size_t otherwise);

/// Colour on a terminal that wants it (NO_COLOR that is not empty, and TERM=dumb, do not), 24-bit colour where
/// COLORTERM says so, and maps no wider than the terminal.
TerminalStyle terminal_style();

/// All maps, below each other, with an empty line behind each.
std::string terminal_maps(const std::vector<HeatMap>& maps);

}  // namespace vene::cli
