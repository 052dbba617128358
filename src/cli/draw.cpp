// SPDX-License-Identifier: Apache-2.0
#include "src/cli/draw.h"

#include <cstdio>

#include "vene/base/error.h"

namespace vene::cli {
namespace {

void no_picture(const std::string& why) {
  std::fprintf(stderr, "vene: %s; everything else is written\n", why.c_str());
}

}  // namespace

bool draw_picture(OutputFolder& out, const std::string& name,
                  const std::function<void(const std::string& path)>& draw) {
  if (!gnuplot_available()) {
    no_picture("gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox)");
    return false;
  }
  // Whatever a picture lacks, be it room in the folder for temporary files, the figures are there without it.
  try {
    out.write(name, draw);
    return true;
  } catch (const IoError& error) {
    no_picture(std::string(error.what()) + ", so no picture is drawn");
    return false;
  }
}

std::vector<std::string> draw_maps(OutputFolder& out, const std::string& name, const std::vector<HeatMap>& maps,
                                   const std::string& title) {
  std::vector<std::string> drawn;
  for (const std::string& file : {name + ".png", name + ".svg"}) {
    if (!draw_picture(out, file, [&](const std::string& path) { draw_heat_maps({path}, maps, title); })) break;
    drawn.push_back(file);
  }
  if (drawn.size() == 2) return drawn;
  for (const std::string& file : drawn) out.drop(file);
  return {};
}

}  // namespace vene::cli
