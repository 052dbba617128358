// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// A matrix as a picture: rows from top to bottom, columns from left to right.
struct HeatMap {
  std::string name{};  ///< of a file that holds this map alone: letters, digits, '_', '-' and '.'
  std::string title{};
  torch::Tensor values{};           ///< [rows, columns]; NaN is left white
  std::vector<std::string> rows{};  ///< a label each
  std::vector<std::string> columns{};
  std::string x_label{};
  std::string colour_label{};     ///< what a value is, beside the colour bar
  std::string colour = "purple";  ///< "purple", "green", "red", "blue": from white to that
  /// Of the values white and full colour stand for; empty: the lowest and the highest
  std::optional<std::pair<double, double>> range{};
};

/// Draws heat maps under one title with gnuplot (a program, found on PATH), as .png, .svg and .pdf files by the ending
/// of each path, written atomically. They stand side by side or below each other: as their letters are largest on a
/// page of 6.75 by 9 inches, which is what a .pdf fits on. Throws IoError when gnuplot is missing or fails.
VENE_API void draw_heat_maps(const std::vector<std::string>& paths, const std::vector<HeatMap>& maps,
                             const std::string& title);
VENE_API bool gnuplot_available();

struct TerminalStyle {
  bool colour = true;       ///< colour escapes; else shades of ASCII
  bool true_colour = true;  ///< 24-bit ones; else the nearest of 256
  /// Columns that there are; 0: any number. A wider map gets cells of one column instead of two, and where that does
  /// not fit, shows every second, third ... column of the matrix, and says so.
  std::size_t width = 0;
};
/// A heat map as lines of text, with a legend.
VENE_API std::string terminal_heat_map(const HeatMap& map, const TerminalStyle& style = {});

}  // namespace vene
