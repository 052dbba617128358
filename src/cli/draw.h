// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "src/cli/output_folder.h"
#include "vene/viz/heat_map.h"

namespace vene::cli {

/// What pictures a command draws. Filled from --format, --panels and --no-picture.
struct PictureChoice {
  std::vector<std::string> formats;
  std::string panels = "together";
  bool none = false;

  /// @param what  the pictures' name: "trace" for trace.png. Commands with several maps in a picture have --panels.
  void add_to(CLI::App& command, const std::string& what, std::vector<std::string> usual, bool several = true);
};

/// Has `draw` make <name>.<format> of every format, at the path that it is handed; the names of the files, or none
/// where no picture is wanted, or gnuplot is missing or fails: then a line on stderr says why, and the rest is worth
/// having all the same.
std::vector<std::string> draw_pictures(OutputFolder& out, const std::string& name, const PictureChoice& choice,
                                       const std::function<void(const std::string& path)>& draw);

/// The same of `maps`: <name>.<format> of all, or <name>-<map's name>.<format> of each.
std::vector<std::string> draw_maps(OutputFolder& out, const std::string& name, const std::vector<HeatMap>& maps,
                                   const std::string& title, const PictureChoice& choice);

/// "picture: a, b" for a summary; nothing for none.
std::string picture_line(const OutputFolder& out, const std::vector<std::string>& names);

}  // namespace vene::cli
