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

enum class Picture { kPng, kSvg, kPdf };

/// "set terminal ...\nset output ...\n" for a picture of this many pixels (96 to the inch). A PDF is made small enough
/// for a page of 6.75 by 9 inches, letters and all.
std::string gnuplot_terminal(const std::string& output, Picture format, std::size_t width, std::size_t height);

/// How many times smaller a picture of so many pixels is on such a page.
double page_scale(double width, double height);

/// Draws each path (.png, .svg or .pdf) with the script made for it and moves the picture to its place. IoError when
/// gnuplot is missing or fails.
void draw_with_gnuplot(const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& output, Picture format)>& make_script);

}  // namespace vene
