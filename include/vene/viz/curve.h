// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// One line over numbers, such as a loss over steps.
struct Curve {
  std::string title{}, x_label{}, y_label{};
  std::vector<double> x{}, y{};
};

/// Draws a curve with gnuplot as .png or .svg, written atomically. Throws IoError when gnuplot is missing or fails.
VENE_API void draw_curve(const std::string& path, const Curve& curve);

}  // namespace vene
