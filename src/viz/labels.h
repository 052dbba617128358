// SPDX-License-Identifier: Apache-2.0
// Texts as labels of pictures and terminal maps. Private to viz.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace vene {

/// One line of valid UTF-8: line ends become \n, other control characters <0x85>, bytes that are not UTF-8 U+FFFD.
std::string printable(std::string_view text);

/// A token without the space in front of it, which every second one has; quoted where nothing would be left to see.
std::string shown_token(const std::string& token);

/// Columns that a text takes in a terminal: two for the wide characters of East Asian scripts and emoji, none for marks
/// that combine with the character before them.
std::size_t display_width(std::string_view text);

/// At most `columns` wide; what is left out at the end shows as one more character, an ellipsis.
std::string shortened(const std::string& text, std::size_t columns);

/// Cut at spaces into lines of at most `columns`; words that are longer are cut where they must be.
std::vector<std::string> wrapped(const std::string& text, std::size_t columns);

}  // namespace vene
