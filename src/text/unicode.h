// SPDX-License-Identifier: Apache-2.0
// Unicode through ICU, with byte offsets into UTF-8 throughout. Not installed.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene::text {

/// A regular expression over UTF-8.
class Pattern {
 public:
  /// Throws IoError, with `where` in front, for an expression that ICU refuses.
  Pattern(const std::string& expression, const std::string& where);
  ~Pattern();
  /// Byte ranges of the matches, in order, without empty ones.
  std::vector<std::pair<std::int64_t, std::int64_t>> matches(std::string_view text) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

/// A normalised text, and for each of its bytes where it comes from. A character that is composed of several covers
/// them all; the parts of one that is taken apart all cover it.
struct Normalised {
  std::string text;
  std::vector<std::int64_t> begins, ends;  ///< one a byte of the text; empty: the text is the original
  /// Where in the original a piece of the text that begins at a byte begins, and one that ends before a byte ends.
  std::int64_t begin(std::int64_t byte) const { return begins.empty() ? byte : begins[static_cast<std::size_t>(byte)]; }
  std::int64_t end(std::int64_t byte) const {
    return ends.empty() ? byte : byte == 0 ? begins[0] : ends[static_cast<std::size_t>(byte) - 1];
  }
};

/// form: "NFC", "NFKC", "NFD" or "NFKD".
Normalised normalise(std::string_view text, const std::string& form);

/// The same bytes with everything that is not UTF-8 replaced by U+FFFD.
VENE_API std::string valid_utf8(std::string_view bytes);
/// UTF-8 of a code point.
VENE_API std::string utf8(std::uint32_t code);
/// Code points of a text that is UTF-8.
VENE_API std::vector<std::uint32_t> code_points(std::string_view text);

}  // namespace vene::text
