// SPDX-License-Identifier: Apache-2.0
// Characters of UTF-8 and their classes, through ICU. Not installed.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"

namespace vene::text {

/// What stands for bytes that are no UTF-8.
constexpr std::uint32_t kReplacement = 0xFFFD;

/// The code point that begins at byte `at`, which moves behind it. Bytes that are no UTF-8 are one U+FFFD a run.
std::uint32_t next_code_slow(std::string_view text, std::size_t& at);
inline std::uint32_t next_code(std::string_view text, std::size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte >= 0x80) return next_code_slow(text, at);
  ++at;
  return byte;
}

/// The same bytes with everything that is not UTF-8 replaced by U+FFFD.
VENE_API std::string valid_utf8(std::string_view bytes);
bool is_utf8(std::string_view bytes);
/// UTF-8 of a code point.
VENE_API std::string utf8(std::uint32_t code);
void append_utf8(std::string& text, std::uint32_t code);
/// Code points of a text that is UTF-8.
VENE_API std::vector<std::uint32_t> code_points(std::string_view text);

bool is_space(std::uint32_t code);        ///< Unicode's White_Space
bool is_numeric(std::uint32_t code);      ///< categories Nd, Nl, No
bool is_word(std::uint32_t code);         ///< letters, marks, decimal digits, connectors: \w
bool is_punctuation(std::uint32_t code);  ///< ASCII's, and category P
bool is_control(std::uint32_t code);      ///< BERT's: Cc, Cf, Co but for tab and the ends of lines
bool is_cjk(std::uint32_t code);          ///< BERT's Chinese characters
bool is_mark(std::uint32_t code);         ///< category M
bool is_nonspacing_mark(std::uint32_t code);
/// Lower case of one character by itself: more than one only for the dotted capital I.
std::string lower_case(std::uint32_t code);
/// A number for its script, Hiragana and Katakana counted as Han; -1 for a space and what has none.
int script_of(std::uint32_t code);
/// Byte ranges of the text's grapheme clusters, as the bytes where they end.
std::vector<std::size_t> grapheme_ends(std::string_view text);

}  // namespace vene::text
