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

/// A normalised text, and for each of its bytes the byte of the original that it comes from.
struct Normalised {
  std::string text;
  std::vector<std::int64_t> origin;  ///< one longer than the text; empty: the text is the original
  std::int64_t at(std::int64_t byte) const { return origin.empty() ? byte : origin[static_cast<std::size_t>(byte)]; }
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
