// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/viz/heat_map.h"

namespace vene {

/// Lines over numbers, such as a loss over steps.
struct Curve {
  struct Line {
    std::string name{};
    std::vector<double> x{}, y{};
  };
  std::string title{}, x_label{}, y_label{};
  std::vector<double> x{}, y{};
  std::string name{};          ///< of that line, for the key; there is a key where there are others
  std::vector<Line> others{};  ///< drawn with points, over the same axes
};

/// Draws a curve with gnuplot as .png, .svg or .pdf, written atomically. Throws IoError when gnuplot is missing or
/// fails.
VENE_API void draw_curve(const std::string& path, const Curve& curve);

}  // namespace vene
