// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "src/cli/output_folder.h"
#include "vene/viz/heat_map.h"

namespace vene::cli {

/// Has `draw` make a picture at the path that it is handed. False where gnuplot is missing or fails: then a line on
/// stderr says why, and the rest is worth having all the same.
bool draw_picture(OutputFolder& out, const std::string& name, const std::function<void(const std::string& path)>& draw);

/// Draws <name>.png and <name>.svg; their names, or none where gnuplot is missing or fails: then a line on stderr says
/// why, and the rest is worth having all the same.
std::vector<std::string> draw_maps(OutputFolder& out, const std::string& name, const std::vector<HeatMap>& maps,
                                   const std::string& title);

}  // namespace vene::cli
