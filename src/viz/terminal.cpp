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

// The nearest of the 256 colours that a terminal without 24-bit colour has: a cube of 6 x 6 x 6, and 24 greys.
int nearest_of_256(const std::array<int, 3>& colour) {
  static constexpr std::array<int, 6> kSteps{0, 95, 135, 175, 215, 255};
  int best = 0, smallest = 3 * 255 * 255 + 1;
  const auto try_one = [&](int index, int r, int g, int b) {
    const int distance =
        (r - colour[0]) * (r - colour[0]) + (g - colour[1]) * (g - colour[1]) + (b - colour[2]) * (b - colour[2]);
    if (distance < smallest) {
      smallest = distance;
      best = index;
    }
  };
  for (int i = 0; i < 216; ++i) try_one(16 + i, kSteps[i / 36], kSteps[i / 6 % 6], kSteps[i % 6]);
  for (int i = 0; i < 24; ++i) try_one(232 + i, 8 + 10 * i, 8 + 10 * i, 8 + 10 * i);
  return best;
}

std::string cell(const HeatMap& map, double share, const TerminalStyle& style, std::size_t width = 2) {
  if (!style.colour) {
    static constexpr std::string_view kShades = " .:-=+*#%@";
    return std::string(width, kShades[static_cast<std::size_t>(std::lround(share * (kShades.size() - 1)))]);
  }
  const std::array<int, 3> colour = colour_of(map.colour, share);
  const auto [r, g, b] = colour;
  const std::string code = style.true_colour
                               ? "2;" + std::to_string(r) + ";" + std::to_string(g) + ";" + std::to_string(b)
                               : "5;" + std::to_string(nearest_of_256(colour));
  return "\x1b[48;" + code + "m" + std::string(width, ' ') + "\x1b[0m";
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
  const std::size_t columns = map.columns.size(), room = style.width > widest + 3 ? style.width - widest - 3 : 1;
  std::size_t cell_width = 2, every = 1;
  if (style.width > 0 && 2 * columns > room) {
    cell_width = 1;
    every = (columns + room - 1) / room;
  }
  std::string text = printable(map.title) + "\n";
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    text += std::string(widest - display_width(labels[row]), ' ') + labels[row] + " |";
    for (std::int64_t column = 0; column < values.size(1); column += static_cast<std::int64_t>(every)) {
      const double value = values.data_ptr<double>()[row * values.size(1) + column];
      const double share = std::isfinite(value) && high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0;
      text += std::isfinite(value) ? cell(map, share, style, cell_width) : std::string(cell_width, '?');
    }
    text += "|\n";
  }
  // Column labels under their columns: as many as fit with a space between.
  std::size_t longest = 1;
  for (const std::string& column : map.columns) longest = std::max(longest, display_width(printable(column)));
  const std::size_t step = (longest + cell_width) / cell_width;
  std::string axis;
  for (std::size_t shown = 0; shown * every < columns; shown += step) {
    const std::string label = printable(map.columns[shown * every]);
    axis += label + std::string(cell_width * step - display_width(label), ' ');
  }
  axis.resize(axis.find_last_not_of(' ') == std::string::npos ? 0 : axis.find_last_not_of(' ') + 1);
  const std::string x_label = printable(map.x_label), indent(widest + 2, ' ');
  const bool beside =
      style.width == 0 || indent.size() + display_width(axis) + 2 + display_width(x_label) <= style.width;
  text += indent + axis + (beside ? "  " : "\n" + indent) + x_label + "\n";
  if (every > 1)
    text += indent + "one in " + std::to_string(every) + " of " + std::to_string(columns) + " columns is shown\n";
  if (std::isfinite(low)) {
    text += std::string(widest + 2, ' ') + number(low) + " " + cell(map, 0, style) + cell(map, 0.25, style) +
            cell(map, 0.5, style) + cell(map, 0.75, style) + cell(map, 1, style) + " " + number(high) + "  " +
            printable(map.colour_label) + "\n";
  }
  return text;
}

}  // namespace vene
