// SPDX-License-Identifier: Apache-2.0
// Heat maps as a gnuplot script. Every margin is set in pixels, from the lengths of the labels, so that no text meets
// another and none leaves the picture.
#include "vene/viz/heat_map.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <sstream>
#include <tuple>

#include "src/viz/gnuplot.h"
#include "src/viz/labels.h"

namespace vene {
namespace {

constexpr double kCharacter = 9.4;  // pixels a column of text takes, on the wide side
constexpr double kLine = 20;        // and from line to line
constexpr std::size_t kLongestLabel = 24;
constexpr double kBar = 14;  // colour bar, with its gap, numbers and label
constexpr double kGap = 8, kBarLabel = 30;
constexpr double kPanelTitle = 44, kUnderMap = 88;  // above a map; below it, for the ticks and the axis label

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

std::pair<double, double> range_of(const HeatMap& map) {
  if (map.range) return *map.range;
  const torch::Tensor values = map.values.to(torch::kCPU, torch::kFloat64);
  const torch::Tensor finite = values.masked_select(torch::isfinite(values));
  const double low = finite.numel() > 0 ? finite.min().item<double>() : 0;
  const double high = finite.numel() > 0 ? finite.max().item<double>() : 1;
  return {low, high > low ? high : low + std::max(1e-6, 1e-6 * std::abs(low))};
}

// The numbers beside a colour bar, with as many digits as tell them apart.
struct Scale {
  double low = 0, high = 1;
  std::vector<std::pair<double, std::string>> ticks{};
};

std::string with_digits(double value, int digits) {
  std::ostringstream text;
  text << std::setprecision(digits) << value;
  return text.str();
}

Scale scale_of(const HeatMap& map) {
  Scale scale;
  std::tie(scale.low, scale.high) = range_of(map);
  const double step = tick_step(scale.high - scale.low);
  int digits = 1;
  for (double tick = std::ceil(scale.low / step - 1e-6) * step; tick <= scale.high + 1e-6 * step; tick += step) {
    const double value = std::abs(tick) < 1e-6 * step ? 0 : tick;
    while (digits < 15 && std::abs(std::strtod(with_digits(value, digits).c_str(), nullptr) - value) > 1e-3 * step)
      ++digits;
    scale.ticks.emplace_back(value, "");
  }
  for (auto& [value, text] : scale.ticks) text = with_digits(value, digits);
  return scale;
}

// One map: all lengths in pixels.
struct Panel {
  const HeatMap* map;
  std::vector<std::string> rows, columns;
  std::string title;
  Scale scale;
  double left, width, numbers;  // of the labels; of the map itself; of the numbers beside its bar
  double right() const { return kGap + kBar + numbers + kBarLabel; }
};

Panel panel_of(const HeatMap& map) {
  Panel panel{&map, {}, {}, printable(map.title), scale_of(map), 0, 0, 0};
  for (const std::string& row : map.rows) panel.rows.push_back(label(row));
  for (const std::string& column : map.columns) panel.columns.push_back(label(column));
  panel.left = 24 + kCharacter * static_cast<double>(columns_of(panel.rows));
  std::vector<std::string> numbers;
  for (const auto& [value, text] : panel.scale.ticks) numbers.push_back(text);
  panel.numbers = 16 + kCharacter * static_cast<double>(columns_of(numbers));
  // Columns of 24 pixels while they are few; of many, as narrow ones as can be told apart.
  const auto columns = static_cast<double>(panel.columns.size());
  panel.width = std::clamp(std::max(std::min(24 * columns, 360.0), 14 * columns), 150.0, 1152.0);
  // The title and the axis label are centred over the map, and may stand over its margins.
  const double text =
      kCharacter * static_cast<double>(std::max(display_width(panel.title), display_width(printable(map.x_label))));
  panel.width = std::max({panel.width, text - 2 * panel.left, text - 2 * panel.right()});
  return panel;
}

// The title in as many lines as it needs, four at most; the end says most, so it stays.
std::vector<std::string> title_lines(const std::string& title, double width) {
  std::vector<std::string> lines =
      wrapped(printable(title), static_cast<std::size_t>(std::max(20.0, (width - 20) / kCharacter)));
  if (lines.size() > 4) lines = {lines[0], lines[1], "\xE2\x80\xA6", lines.back()};
  return lines;
}

// Where everything stands. All panels have the same margins, so that maps below each other are in line.
struct Layout {
  std::size_t across = 1;  // panels side by side
  double left = 0, map_width = 0, right = 0, map_height = 0;
  std::vector<std::string> heading;
  double top = 0;  // of the heading
  double width = 0, height = 0;
  double panel_width() const { return left + map_width + right; }
  double panel_height() const { return kPanelTitle + map_height + kUnderMap; }
};

Layout arrange(const std::vector<Panel>& panels, const std::string& title, std::size_t across, std::size_t labelled) {
  Layout layout;
  layout.across = across;
  for (const Panel& panel : panels) {
    layout.left = std::max(layout.left, panel.left);
    layout.map_width = std::max(layout.map_width, panel.width);
    layout.right = std::max(layout.right, panel.right());
  }
  const double row_pixels = labelled <= 30 ? 27 : 19;
  layout.map_height = std::max(labelled <= 6 ? 160.0 : 200.0, row_pixels * static_cast<double>(labelled));
  // Whole pixels a cell, from a whole pixel on: no edge falls between two.
  std::size_t rows = 1, columns = 1;
  for (const Panel& panel : panels) {
    rows = std::max(rows, panel.rows.size());
    columns = std::max(columns, panel.columns.size());
  }
  const auto multiple = [](double pixels, std::size_t cells) {
    return std::ceil(pixels / static_cast<double>(cells)) * static_cast<double>(cells);
  };
  layout.left = std::ceil(layout.left);
  layout.right = std::ceil(layout.right);
  layout.map_width = multiple(layout.map_width, columns);
  layout.map_height = multiple(layout.map_height, rows);
  layout.width = std::ceil(static_cast<double>(across) * layout.panel_width());
  layout.heading = title_lines(title, layout.width);
  layout.top = 16 + kLine * static_cast<double>(layout.heading.size());
  layout.height =
      std::ceil(layout.top + static_cast<double>((panels.size() + across - 1) / across) * layout.panel_height());
  return layout;
}

// A cell reaches a little under the next ones, which are drawn after it: no seam shows where two edges are blended.
void write_data(std::ostream& text, std::size_t index, const HeatMap& map) {
  text << "$map" << index << " << VENE_END_OF_DATA\n";
  const torch::Tensor values = map.values.to(torch::kCPU, torch::kFloat64).contiguous();
  const auto value_at = values.accessor<double, 2>();
  const std::int64_t rows = values.size(0), columns = values.size(1);
  bool drawn = false;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const double value = value_at[row][column];
      if (!std::isfinite(value)) continue;  // left white
      const auto x = static_cast<double>(column), y = static_cast<double>(row);
      text << x << ' ' << y << ' ' << x - 0.5 << ' ' << x + (column + 1 < columns ? 0.6 : 0.5) << ' ' << y - 0.5 << ' '
           << y + (row + 1 < rows ? 0.6 : 0.5) << ' ' << with_digits(value, 9) << '\n';
      drawn = true;
    }
  }
  // Without any, gnuplot draws no axes either; one that is out of sight will do.
  if (!drawn) text << "-9 -9 -9 -8 -9 -8 0\n";
  text << "VENE_END_OF_DATA\n";
}

std::string script(const std::vector<HeatMap>& maps, const std::string& title, const std::string& output,
                   Picture format) {
  std::vector<Panel> panels;
  std::size_t most_rows = 1;
  for (const HeatMap& map : maps) {
    panels.push_back(panel_of(map));
    most_rows = std::max(most_rows, map.rows.size());
  }
  constexpr std::size_t kMostRows = 120;  // labelled ones; beyond, every second, third ...
  const std::size_t row_step = (most_rows + kMostRows - 1) / kMostRows;
  // Side by side, as long as that is legible in print: letters of 6 of their 10.5 points. Else as they are largest, in
  // full rows.
  const std::size_t labelled = std::min(most_rows, kMostRows);
  Layout layout = arrange(panels, title, std::max<std::size_t>(panels.size(), 1), labelled);
  for (std::size_t across = panels.size(); across > 0; --across) {
    if (page_scale(layout.width, layout.height) >= 6 / 10.5) break;
    if (panels.size() % across != 0) continue;
    const Layout other = arrange(panels, title, across, labelled);
    if (page_scale(other.width, other.height) > page_scale(layout.width, layout.height)) layout = other;
  }
  const auto screen_x = [&](double pixels) { return pixels / layout.width; };
  const auto screen_y = [&](double pixels) { return 1 - pixels / layout.height; };  // pixels from the top

  std::ostringstream text;
  text << gnuplot_terminal(output, format, static_cast<std::size_t>(layout.width),
                           static_cast<std::size_t>(layout.height));
  for (std::size_t m = 0; m < maps.size(); ++m) write_data(text, m, maps[m]);
  text << "set multiplot\nunset key\nset tics out nomirror\nset border lw 0.5\n";
  for (std::size_t line = 0; line < layout.heading.size(); ++line) {
    text << "set label " << line + 1 << ' ' << gnuplot_string(layout.heading[line]) << " at screen 0.5, screen "
         << screen_y(22 + kLine * static_cast<double>(line)) << " center noenhanced\n";
  }
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const Panel& panel = panels[m];
    const double begin = static_cast<double>(m % layout.across) * layout.panel_width() + layout.left;
    const double end = begin + layout.map_width;
    const double top = layout.top + static_cast<double>(m / layout.across) * layout.panel_height() + kPanelTitle;
    const double bottom = top + layout.map_height;
    text << "set lmargin at screen " << screen_x(begin) << "\nset rmargin at screen " << screen_x(end)
         << "\nset tmargin at screen " << screen_y(top) << "\nset bmargin at screen " << screen_y(bottom) << "\n";
    text << "set colorbox user origin screen " << screen_x(end + kGap) << ", screen " << screen_y(bottom)
         << " size screen " << screen_x(kBar) << ", screen " << layout.map_height / layout.height << "\n";
    text << "set title " << gnuplot_string(panel.title) << " noenhanced\n";
    text << palette(panel.map->colour) << "set cbrange [" << with_digits(panel.scale.low, 12) << ":"
         << with_digits(panel.scale.high, 12) << "]\nset cbtics (";
    for (std::size_t i = 0; i < panel.scale.ticks.size(); ++i)
      text << (i > 0 ? ", '" : "'") << panel.scale.ticks[i].second << "' "
           << with_digits(panel.scale.ticks[i].first, 12);
    text << ")\nset cblabel " << gnuplot_string(printable(panel.map->colour_label)) << " offset 0.7,0 noenhanced\n";
    text << "set xlabel " << gnuplot_string(printable(panel.map->x_label)) << " noenhanced\n";
    const double needed = kCharacter * (static_cast<double>(columns_of(panel.columns)) + 0.5);
    const double column_pixels = layout.map_width / static_cast<double>(std::max<std::size_t>(panel.columns.size(), 1));
    text << ticks("x", panel.columns,
                  std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(needed / column_pixels))))
         << ticks("y", panel.rows, row_step);
    text << "set xrange [-0.5:" << static_cast<double>(panel.columns.size()) - 0.5 << "]\n";
    text << "set yrange [" << static_cast<double>(panel.rows.size()) - 0.5 << ":-0.5]\n";
    text << "plot $map" << m << " using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid 1 noborder lc palette\n";
    if (m == 0) text << "unset label\n";
  }
  text << "unset multiplot\nunset output\n";
  return text.str();
}

}  // namespace

void draw_heat_maps(const std::vector<std::string>& paths, const std::vector<HeatMap>& maps, const std::string& title) {
  draw_with_gnuplot(paths,
                    [&](const std::string& output, Picture format) { return script(maps, title, output, format); });
}

}  // namespace vene
