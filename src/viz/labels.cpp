// SPDX-License-Identifier: Apache-2.0
#include "src/viz/labels.h"

#include <algorithm>
#include <cstdio>

#include "src/text/unicode.h"

namespace vene {
namespace {

std::size_t width_of(std::uint32_t code) {
  if ((code >= 0x300 && code <= 0x36F) || code == 0x200B || code == 0x200D || (code >= 0xFE00 && code <= 0xFE0F))
    return 0;
  const bool wide = (code >= 0x1100 && code <= 0x115F) || (code >= 0x2E80 && code <= 0xA4CF) ||
                    (code >= 0xAC00 && code <= 0xD7A3) || (code >= 0xF900 && code <= 0xFAFF) ||
                    (code >= 0xFE30 && code <= 0xFE6F) || (code >= 0xFF00 && code <= 0xFF60) ||
                    (code >= 0x1F300 && code <= 0x1FAFF) || (code >= 0x20000 && code <= 0x3FFFD);
  return wide ? 2 : 1;
}

// How many bytes of a text fit into so many columns.
std::size_t fitting(const std::string& text, std::size_t columns) {
  std::size_t bytes = 0, used = 0;
  for (std::uint32_t code : text::code_points(text)) {
    used += width_of(code);
    if (used > columns) break;
    bytes += text::utf8(code).size();
  }
  return bytes;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  for (std::uint32_t code : text::code_points(text::valid_utf8(text))) {
    if (code == '\n') {
      result += "\\n";
    } else if (code == '\t') {
      result += "\\t";
    } else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029) {
      char escaped[16];
      std::snprintf(escaped, sizeof escaped, "<0x%02X>", static_cast<unsigned>(code));
      result += escaped;
    } else {
      result += text::utf8(code);
    }
  }
  return result;
}

std::string shown_token(const std::string& token) {
  const std::size_t begin = token.find_first_not_of(' ');
  return begin == std::string::npos ? "'" + token + "'" : token.substr(begin);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::uint32_t code : text::code_points(text)) width += width_of(code);
  return width;
}

std::string shortened(const std::string& text, std::size_t columns) {
  if (display_width(text) <= columns) return text;
  return text.substr(0, fitting(text, columns)) + "\xE2\x80\xA6";
}

std::vector<std::string> wrapped(const std::string& text, std::size_t columns) {
  std::vector<std::string> lines;
  std::string rest = text;
  while (display_width(rest) > columns) {
    const std::size_t most = std::max<std::size_t>(fitting(rest, columns), 1);
    const std::size_t space = rest.rfind(' ', most);
    const bool at_space = space != std::string::npos && space > most / 2;
    lines.push_back(rest.substr(0, at_space ? space : most));
    rest = rest.substr(at_space ? space + 1 : most);
  }
  lines.push_back(rest);
  return lines;
}

}  // namespace vene
