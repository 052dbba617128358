// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "src/viz/labels.h"
#include "vene/viz/heat_map.h"

namespace vene {
namespace {

constexpr std::size_t kLongestLabel = 24;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::array<int, 3> colour_of(const std::string& name, double share) {
  std::array<int, 3> dark{63, 0, 125};
  if (name == "green") dark = {0, 90, 40};
  if (name == "red") dark = {140, 0, 15};
  if (name == "blue") dark = {8, 60, 130};
  std::array<int, 3> mixed{};
  for (std::size_t i = 0; i < 3; ++i) mixed[i] = static_cast<int>(std::lround(245 + (dark[i] - 245) * share));
  return mixed;
}

std::string cell(const HeatMap& map, double share, const TerminalStyle& style) {
  if (!style.colour) {
    static constexpr std::string_view kShades = " .:-=+*#%@";
    const char shade = kShades[static_cast<std::size_t>(std::lround(share * (kShades.size() - 1)))];
    return {shade, shade};
  }
  const auto [r, g, b] = colour_of(map.colour, share);
  return "\x1b[48;2;" + std::to_string(r) + ";" + std::to_string(g) + ";" + std::to_string(b) + "m  \x1b[0m";
}

}  // namespace

std::string terminal_heat_map(const HeatMap& map, const TerminalStyle& style) {
  const torch::Tensor values = map.values.to(torch::kCPU, torch::kFloat64).contiguous();
  double low = INFINITY;
  double high = -INFINITY;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const double value = values.data_ptr<double>()[i];
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (map.range) std::tie(low, high) = *map.range;
  std::size_t widest = 0;
  std::vector<std::string> labels;
  for (const std::string& row : map.rows) {
    labels.push_back(shortened(printable(row), kLongestLabel));
    widest = std::max(widest, display_width(labels.back()));
  }
  std::string text = printable(map.title) + "\n";
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    text += std::string(widest - display_width(labels[row]), ' ') + labels[row] + " |";
    for (std::int64_t column = 0; column < values.size(1); ++column) {
      const double value = values.data_ptr<double>()[row * values.size(1) + column];
      const double share = std::isfinite(value) && high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0;
      text += std::isfinite(value) ? cell(map, share, style) : "??";
    }
    text += "|\n";
  }
  // Column labels under their columns, which are two characters wide: as many as fit with a space between.
  std::size_t longest = 1;
  for (const std::string& column : map.columns) longest = std::max(longest, display_width(printable(column)));
  const std::size_t step = (longest + 2) / 2;
  std::string axis;
  for (std::size_t column = 0; column < map.columns.size(); column += step) {
    const std::string label = printable(map.columns[column]);
    axis += label + std::string(2 * step - display_width(label), ' ');
  }
  axis.resize(axis.find_last_not_of(' ') == std::string::npos ? 0 : axis.find_last_not_of(' ') + 1);
  text += std::string(widest + 2, ' ') + axis + "  " + printable(map.x_label) + "\n";
  if (std::isfinite(low)) {
    text += std::string(widest + 2, ' ') + number(low) + " " + cell(map, 0, style) + cell(map, 0.25, style) +
            cell(map, 0.5, style) + cell(map, 0.75, style) + cell(map, 1, style) + " " + number(high) + "  " +
            printable(map.colour_label) + "\n";
  }
  return text;
}

}  // namespace vene
