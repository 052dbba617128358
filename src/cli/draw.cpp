// SPDX-License-Identifier: Apache-2.0
#include "src/cli/draw.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "src/cli/say.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

void no_picture(const std::string& why) {
  note(why + "; everything else is written");
}

std::string file_name(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0 && c != '_' && c != '-' && c != '.') c = '_';
  }
  return text;
}

// Has `draw` make a picture at the path that it is handed. False where gnuplot is missing or fails.
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

}  // namespace

void PictureChoice::add_to(CLI::App& command, const std::string& what, std::vector<std::string> usual, bool several) {
  formats = std::move(usual);
  std::string by_default;
  for (const std::string& format : formats) by_default += (by_default.empty() ? "" : ",") + format;
  command.add_option("--format", formats, "Of the picture: png, svg, pdf, joined by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"png", "svg", "pdf"}))
      ->option_text("NAMES=" + by_default);
  if (several) {
    command.add_option("--panels", panels, "together in one picture, or separate, each map in a file of its own")
        ->check(CLI::IsMember({"together", "separate"}))
        ->option_text("HOW=together");
  }
  command.add_flag("--no-picture", none, "Don't draw " + what);
}

std::vector<std::string> draw_pictures(OutputFolder& out, const std::string& name, const PictureChoice& choice,
                                       const std::function<void(const std::string& path)>& draw) {
  std::vector<std::string> names;
  if (choice.none) return names;
  for (const std::string& format : choice.formats) {
    const std::string file = name + "." + format;
    if (std::find(names.begin(), names.end(), file) != names.end()) continue;
    if (!draw_picture(out, file, draw)) {
      for (const std::string& drawn : names) out.drop(drawn);
      return {};
    }
    names.push_back(file);
  }
  return names;
}

std::vector<std::string> draw_maps(OutputFolder& out, const std::string& name, const std::vector<HeatMap>& maps,
                                   const std::string& title, const PictureChoice& choice) {
  const Timed drawing("pictures: drawn");
  std::vector<std::pair<std::string, std::vector<HeatMap>>> pictures;
  if (choice.panels == "separate") {
    for (const HeatMap& map : maps) pictures.push_back({name + "-" + file_name(map.name), {map}});
  } else {
    pictures.emplace_back(name, maps);
  }
  std::vector<std::string> names;
  for (const auto& picture : pictures) {
    const std::vector<std::string> drawn = draw_pictures(
        out, picture.first, choice, [&](const std::string& path) { draw_heat_maps({path}, picture.second, title); });
    if (drawn.empty()) {
      for (const std::string& before : names) out.drop(before);
      return {};
    }
    names.insert(names.end(), drawn.begin(), drawn.end());
  }
  drawing.done();
  return names;
}

std::string picture_line(const OutputFolder& out, const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(out.path(name));
  return paths.empty() ? "" : "picture: " + join(paths) + "\n";
}

}  // namespace vene::cli
