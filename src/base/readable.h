// SPDX-License-Identifier: Apache-2.0
// What comes from a stranger's file, made fit for a message on a terminal.
#pragma once
#include <string>
#include <string_view>

namespace vene {

/// Control characters (escape sequences, C1, the marks that turn the direction of text) and bytes that are no UTF-8 are
/// written as \x1b; newlines stay, and a line of more than `longest` bytes loses its middle.
std::string readable(std::string_view text, std::size_t longest = 2000);

/// At most `longest` bytes, cut at the boundary of a character, with "..." at its end where something was cut.
std::string shortened(std::string_view text, std::size_t longest = 80);

}  // namespace vene
