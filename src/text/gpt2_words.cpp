// SPDX-License-Identifier: Apache-2.0
#include "src/text/gpt2_words.h"

#include <unicode/uchar.h>

#include "src/text/unicode.h"

namespace vene::text {
namespace {

enum class Kind : unsigned char { kSpace, kLetter, kNumber, kOther };

Kind kind_of(std::uint32_t code) {
  if (code < 0x80) {
    if ((code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z')) return Kind::kLetter;
    if (code >= '0' && code <= '9') return Kind::kNumber;
    return is_space(code) ? Kind::kSpace : Kind::kOther;
  }
  const std::uint32_t category = U_MASK(u_charType(static_cast<UChar32>(code)));
  if ((category & U_GC_L_MASK) != 0) return Kind::kLetter;
  if ((category & U_GC_N_MASK) != 0) return Kind::kNumber;
  return is_space(code) ? Kind::kSpace : Kind::kOther;
}

// The length of 's, 't, 're, 've, 'm, 'll or 'd at `at`; 0: none of them.
std::size_t contraction(std::string_view text, std::size_t at) {
  const char first = at + 1 < text.size() ? text[at + 1] : '\0', second = at + 2 < text.size() ? text[at + 2] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  return 0;
}

}  // namespace

void gpt2_words(std::string_view text, std::vector<Match>& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (text[at] == '\'') {
      if (const std::size_t size = contraction(text, at); size > 0) {
        at += size;
        matches.push_back({begin, at, true});
        continue;
      }
    }
    std::size_t next = at;
    Kind kind = kind_of(next_code(text, next));
    if (text[at] == ' ' && next < text.size()) {  // one space may lead a word
      std::size_t behind = next;
      const Kind word = kind_of(next_code(text, behind));
      if (word != Kind::kSpace) {
        kind = word;
        next = behind;
      }
    }
    std::size_t last = next, before = begin;  // `before`: the begin of the run's last character
    if (kind == Kind::kSpace) before = at;
    while (last < text.size()) {
      std::size_t behind = last;
      if (kind_of(next_code(text, behind)) != kind) break;
      before = last;
      last = behind;
    }
    // Space in front of a word gives its last character to it.
    if (kind == Kind::kSpace && last < text.size() && before > begin) last = before;
    matches.push_back({begin, last, true});
    at = last;
  }
}

}  // namespace vene::text
