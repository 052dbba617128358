// SPDX-License-Identifier: Apache-2.0
// Running gnuplot. Private to viz.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace vene {

/// A gnuplot string of one line: in single quotes, where nothing is special, but for the quotes themselves, which are
/// joined to it as escapes (a doubled quote at the front would end the string).
std::string gnuplot_string(const std::string& text);

/// "set terminal ...\nset output ...\n" for a picture of this many pixels, as PNG or SVG.
std::string gnuplot_terminal(const std::string& output, bool svg, std::size_t width, std::size_t height);

/// Draws each path (.png or .svg) with the script made for it and moves the picture to its place. IoError when gnuplot
/// is missing or fails.
void draw_with_gnuplot(const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& output, bool svg)>& make_script);

}  // namespace vene
