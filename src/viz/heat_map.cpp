// SPDX-License-Identifier: Apache-2.0
// Heat maps as a gnuplot script. Every margin is set in pixels, from the lengths of the labels, so that no text meets
// another.
#include "vene/viz/heat_map.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "src/viz/gnuplot.h"
#include "src/viz/labels.h"

namespace vene {
namespace {

constexpr double kCharacter = 9.4;  // pixels a column of text takes, on the wide side
constexpr double kLine = 20;        // and from line to line
constexpr std::size_t kLongestLabel = 24;
constexpr double kBar = 14;  // colour bar, with its gap, numbers and label
constexpr double kGap = 8, kNumbers = 58, kBarLabel = 30;

std::string palette(const std::string& colour) {
  const char* dark = colour == "green"  ? "#00441b"
                     : colour == "red"  ? "#67000d"
                     : colour == "blue" ? "#08306b"
                                        : "#3f007d";
  const char* middle = colour == "green"  ? "#41ab5d"
                       : colour == "red"  ? "#ef3b2c"
                       : colour == "blue" ? "#4292c6"
                                          : "#807dba";
  return std::string("set palette defined (0 '#ffffff', 0.5 '") + middle + "', 1 '" + dark + "')\n";
}

std::string label(const std::string& text) {
  std::string shown = shortened(printable(text), kLongestLabel);
  return std::all_of(shown.begin(), shown.end(), [](char c) { return c == ' '; }) && !shown.empty() ? "'" + shown + "'"
                                                                                                    : shown;
}

// gnuplot takes the label of a tick for a format of the tick's number, in which %% stands for one percent sign.
std::string tick_label(const std::string& name) {
  std::string format;
  for (const char c : name) format += c == '%' ? "%%" : std::string(1, c);
  return gnuplot_string(format);
}

std::string ticks(const char* axis, const std::vector<std::string>& names, std::size_t step) {
  std::string text = std::string("set ") + axis + "tics (";
  for (std::size_t i = 0; i < names.size(); i += step)
    text += (i > 0 ? ", " : "") + tick_label(names[i]) + " " + std::to_string(i);
  return text + ") noenhanced\n";
}

// A step of 1, 2 or 5 times a power of ten, that gives about four ticks.
double tick_step(double range) {
  const double power = std::pow(10.0, std::floor(std::log10(range / 4)));
  const double share = range / 4 / power;
  return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

std::size_t columns_of(const std::vector<std::string>& names) {
  std::size_t widest = 1;
  for (const std::string& name : names) widest = std::max(widest, display_width(name));
  return widest;
}

// One map and where it stands: all in pixels.
struct Panel {
  const HeatMap* map;
  std::vector<std::string> rows, columns;
  std::string title;
  double left, width;  // of the labels; of the map itself
  double whole() const { return left + width + kGap + kBar + kNumbers + kBarLabel; }
};

Panel panel_of(const HeatMap& map) {
  Panel panel{&map, {}, {}, printable(map.title), 0, 0};
  for (const std::string& row : map.rows) panel.rows.push_back(label(row));
  for (const std::string& column : map.columns) panel.columns.push_back(label(column));
  panel.left = 24 + kCharacter * static_cast<double>(columns_of(panel.rows));
  panel.width = std::clamp(24.0 * static_cast<double>(panel.columns.size()), 230.0, 1152.0);
  // The title and the axis label are centred over the map, and may stand over its margins.
  const double text =
      kCharacter * static_cast<double>(std::max(display_width(panel.title), display_width(printable(map.x_label))));
  panel.width = std::max({panel.width, text - 2 * panel.left, text - 2 * (panel.whole() - panel.left - panel.width)});
  return panel;
}

// The title in as many lines as it needs, four at most; the end says most, so it stays.
std::vector<std::string> title_lines(const std::string& title, double width) {
  std::vector<std::string> lines =
      wrapped(printable(title), static_cast<std::size_t>(std::max(20.0, (width - 20) / kCharacter)));
  if (lines.size() > 4) lines = {lines[0], lines[1], "\xE2\x80\xA6", lines.back()};
  return lines;
}

void write_data(std::ostream& text, std::size_t index, const HeatMap& map) {
  text << "$map" << index << " << VENE_END_OF_DATA\n";
  const torch::Tensor values = map.values.to(torch::kCPU, torch::kFloat64).contiguous();
  const auto value_at = values.accessor<double, 2>();
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    for (std::int64_t column = 0; column < values.size(1); ++column) {
      const double value = value_at[row][column];
      text << column << ' ' << row << ' ';
      std::isfinite(value) ? text << value : text << "NaN";
      text << '\n';
    }
    text << '\n';
  }
  text << "VENE_END_OF_DATA\n";
}

std::pair<double, double> range_of(const HeatMap& map) {
  if (map.range) return *map.range;
  const torch::Tensor values = map.values.to(torch::kCPU, torch::kFloat64);
  const torch::Tensor finite = values.masked_select(torch::isfinite(values));
  const double low = finite.numel() > 0 ? finite.min().item<double>() : 0;
  const double high = finite.numel() > 0 ? finite.max().item<double>() : 1;
  return {low, high > low ? high : low + 1e-6};
}

std::string script(const std::vector<HeatMap>& maps, const std::string& title, const std::string& output, bool svg) {
  std::vector<Panel> panels;
  std::size_t most_rows = 1;
  double width = 0;
  for (const HeatMap& map : maps) {
    panels.push_back(panel_of(map));
    most_rows = std::max(most_rows, map.rows.size());
    width += panels.back().whole();
  }
  const std::vector<std::string> heading = title_lines(title, width);
  constexpr std::size_t kMostRows = 120;  // labelled ones; beyond, every second, third ...
  const std::size_t row_step = (most_rows + kMostRows - 1) / kMostRows;
  const double row_pixels = most_rows <= 30 ? 27 : 19;
  const double map_height = std::max(200.0, row_pixels * static_cast<double>(std::min(most_rows, kMostRows)));
  const double top = 16 + kLine * static_cast<double>(heading.size()) + 36, bottom = 66;
  const double height = std::ceil(top + map_height + bottom);
  width = std::ceil(width);

  std::ostringstream text;
  text << gnuplot_terminal(output, svg, static_cast<std::size_t>(width), static_cast<std::size_t>(height));
  for (std::size_t m = 0; m < maps.size(); ++m) write_data(text, m, maps[m]);
  text << "set multiplot\nunset key\nset tics out nomirror\nset border lw 0.5\n";
  for (std::size_t line = 0; line < heading.size(); ++line) {
    text << "set label " << line + 1 << ' ' << gnuplot_string(heading[line]) << " at screen 0.5, screen "
         << 1 - (22 + kLine * static_cast<double>(line)) / height << " center noenhanced\n";
  }
  double x = 0;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const Panel& panel = panels[m];
    const auto [low, high] = range_of(*panel.map);
    const double step = tick_step(high - low);
    const double begin = x + panel.left, end = begin + panel.width;
    const auto screen = [&](double pixels) { return pixels / width; };
    text << "set lmargin at screen " << screen(begin) << "\nset rmargin at screen " << screen(end)
         << "\nset tmargin at screen " << 1 - top / height << "\nset bmargin at screen " << bottom / height << "\n";
    text << "set colorbox user origin screen " << screen(end + kGap) << ", screen " << bottom / height
         << " size screen " << screen(kBar) << ", screen " << map_height / height << "\n";
    text << "set title " << gnuplot_string(panel.title) << " noenhanced\n";
    text << palette(panel.map->colour) << "set cbrange [" << low << ":" << high << "]\nset cbtics " << step
         << "\nset format cb '" << (step < 1e-3 * std::abs(high) ? "%.6g" : "%.3g") << "'\n";
    text << "set cblabel " << gnuplot_string(printable(panel.map->colour_label)) << " noenhanced\n";
    text << "set xlabel " << gnuplot_string(printable(panel.map->x_label)) << " noenhanced\n";
    const double needed = kCharacter * (static_cast<double>(columns_of(panel.columns)) + 0.5);
    const double column_pixels = panel.width / static_cast<double>(std::max<std::size_t>(panel.columns.size(), 1));
    text << ticks("x", panel.columns,
                  std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(needed / column_pixels))))
         << ticks("y", panel.rows, row_step);
    text << "set xrange [-0.5:" << static_cast<double>(panel.columns.size()) - 0.5 << "]\n";
    text << "set yrange [" << static_cast<double>(panel.rows.size()) - 0.5 << ":-0.5]\n";
    text << "plot $map" << m << " using 1:2:3 with image pixels\n";
    if (m == 0) text << "unset label\n";
    x += panel.whole();
  }
  text << "unset multiplot\nunset output\n";
  return text.str();
}

}  // namespace

void draw_heat_maps(const std::vector<std::string>& paths, const std::vector<HeatMap>& maps, const std::string& title) {
  draw_with_gnuplot(paths, [&](const std::string& output, bool svg) { return script(maps, title, output, svg); });
}

}  // namespace vene
