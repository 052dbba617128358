// SPDX-License-Identifier: Apache-2.0
#include "src/cli/draw.h"

#include <cstdio>
#include <string_view>

#include "vene/base/error.h"

namespace vene::cli {
namespace {

void no_picture(const std::string& why) {
  std::fprintf(stderr, "vene: %s; everything else is written\n", why.c_str());
}

}  // namespace

std::vector<std::string> draw_maps(OutputFolder& out, const std::string& name, const std::vector<HeatMap>& maps,
                                   const std::string& title) {
  if (!gnuplot_available()) {
    no_picture("gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox)");
    return {};
  }
  const std::vector<std::string> names{name + ".png", name + ".svg"};
  try {
    for (const std::string& file : names)
      out.write(file, [&](const std::string& path) { draw_heat_maps({path}, maps, title); });
  } catch (const IoError& error) {
    if (!std::string_view(error.what()).starts_with("gnuplot")) throw;
    no_picture(error.what());
    return {};
  }
  return names;
}

}  // namespace vene::cli
