// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <cstdio>

#include "vene/viz/heat_map.h"

namespace vene {
namespace {

// Columns that a UTF-8 text takes in a terminal, near enough: one a code point.
std::size_t display_width(const std::string& text) {
  std::size_t width = 0;
  for (unsigned char c : text) width += (c & 0xC0) != 0x80 ? 1 : 0;
  return width;
}

// Control characters would move the cursor.
std::string printable(const std::string& text) {
  std::string result;
  for (unsigned char c : text) {
    if (c == '\n') {
      result += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      result += '?';
    } else {
      result += static_cast<char>(c);
    }
  }
  return result;
}

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
  std::size_t widest = 0;
  for (const std::string& row : map.rows) widest = std::max(widest, display_width(printable(row)));
  std::string text = map.title + "\n";
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    const std::string label = printable(map.rows[row]);
    text += std::string(widest - display_width(label), ' ') + label + " |";
    for (std::int64_t column = 0; column < values.size(1); ++column) {
      const double value = values.data_ptr<double>()[row * values.size(1) + column];
      const double share = std::isfinite(value) && high > low ? (value - low) / (high - low) : 0;
      text += std::isfinite(value) ? cell(map, share, style) : "??";
    }
    text += "|\n";
  }
  // Column labels: the first, and every fifth that fits.
  std::string axis(2 * map.columns.size(), ' ');
  for (std::size_t column = 0; column < map.columns.size(); column += 5) {
    const std::string& label = map.columns[column];
    if (2 * column + label.size() <= axis.size()) axis.replace(2 * column, label.size(), label);
  }
  text += std::string(widest + 2, ' ') + axis + " " + map.x_label + "\n";
  if (std::isfinite(low)) {
    text += std::string(widest + 2, ' ') + number(low) + " " + cell(map, 0, style) + cell(map, 0.25, style) + cell(map, 0.5, style) + cell(map, 0.75, style) +
            cell(map, 1, style) + " " + number(high) + "  " + map.colour_label + "\n";
  }
  return text;
}

}  // namespace vene
