// SPDX-License-Identifier: Apache-2.0
#include "src/base/readable.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace vene {
namespace {

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// Bytes of the character at `i`, and its code point; 0 where it is no UTF-8.
std::size_t character_at(std::string_view text, std::size_t i, std::uint32_t& code) {
  const auto first = static_cast<unsigned char>(text[i]);
  const std::size_t size = first < 0x80                    ? 1
                           : first >= 0xC2 && first < 0xE0 ? 2
                           : first < 0xF0                  ? 3
                           : first < 0xF5                  ? 4
                                                           : 0;
  if (size == 0 || (first >= 0x80 && first < 0xC2) || i + size > text.size()) return 0;
  code = size == 1 ? first : first & (0xFFU >> (size + 1));
  for (std::size_t k = 1; k < size; ++k) {
    if (!continues(text[i + k])) return 0;
    code = (code << 6U) | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  return code < kLeast[size] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : size;
}

bool steers_a_terminal(std::uint32_t code) {
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0) ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

void add_line(std::string& to, const std::string& line, std::size_t longest) {
  if (line.size() <= longest) {
    to += line;
    return;
  }
  const std::size_t tail = longest / 4;
  std::size_t begin = line.size() - tail;
  while (begin < line.size() && continues(line[begin])) ++begin;
  to += shortened(line, longest - tail) + line.substr(begin);
}

}  // namespace

std::string shortened(std::string_view text, std::size_t longest) {
  if (text.size() <= longest) return std::string(text);
  std::size_t end = longest < 3 ? 0 : longest - 3;
  while (end > 0 && continues(text[end])) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string readable(std::string_view text, std::size_t longest) {
  std::string result, line;
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t code = 0;
    const std::size_t size = character_at(text, i, code);
    if (code == '\n' && size == 1) {
      add_line(result, line, longest);
      result += '\n';
      line.clear();
    } else if (size == 0 || steers_a_terminal(code)) {
      for (std::size_t k = 0; k < std::max<std::size_t>(size, 1); ++k) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(text[i + k]));
        line += escaped;
      }
    } else {
      line += text.substr(i, size);
    }
    i += std::max<std::size_t>(size, 1);
  }
  add_line(result, line, longest);
  return result;
}

}  // namespace vene
