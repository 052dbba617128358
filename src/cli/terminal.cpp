// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace vene::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::size_t terminal_width(std::size_t otherwise) {
  if (const int columns = std::atoi(variable("COLUMNS").c_str()); columns > 20)
    return static_cast<std::size_t>(columns);
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return otherwise;
}

TerminalStyle terminal_style() {
  TerminalStyle style;
  style.colour = isatty(STDOUT_FILENO) == 1 && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  style.true_colour = variable("COLORTERM") == "truecolor" || variable("COLORTERM") == "24bit";
  style.width = terminal_width(0);
  return style;
}

std::string terminal_maps(const std::vector<HeatMap>& maps) {
  std::string text;
  for (const HeatMap& map : maps) text += terminal_heat_map(map, terminal_style()) + "\n";
  return text;
}

}  // namespace vene::cli
