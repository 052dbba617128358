// SPDX-License-Identifier: Apache-2.0
#include "src/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/unistr.h>
#include <unicode/utext.h>
#include <unicode/utf8.h>

#include <algorithm>

#include "vene/base/error.h"

namespace vene::text {

struct Pattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

namespace {

// ICU's \s leaves out two characters of Unicode's White_Space that the libraries behind Hugging Face's tokenizers have.
std::string with_unicode_space(const std::string& expression) {
  std::string result;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    if (expression[at] != '\\' || at + 1 == expression.size()) {
      result += expression[at];
      continue;
    }
    const char escaped = expression[++at];
    if (escaped == 's') {
      result += "\\p{White_Space}";
    } else if (escaped == 'S') {
      result += "\\P{White_Space}";
    } else {
      result += '\\';
      result += escaped;
    }
  }
  return result;
}

}  // namespace

Pattern::Pattern(const std::string& expression, const std::string& where) : compiled_(std::make_unique<Compiled>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError at{};
  compiled_->pattern.reset(
      icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(with_unicode_space(expression)), at, status));
  if (U_FAILURE(status))
    throw IoError(where + ": not a regular expression (" + u_errorName(status) + " at " + std::to_string(at.offset) +
                  "): " + expression.substr(0, 80));
}

Pattern::~Pattern() = default;

std::vector<std::pair<std::int64_t, std::int64_t>> Pattern::matches(std::string_view text) const {
  UErrorCode status = U_ZERO_ERROR;
  UText view = UTEXT_INITIALIZER;
  utext_openUTF8(&view, text.data(), static_cast<std::int64_t>(text.size()), &status);
  std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
  if (U_FAILURE(status)) throw Error(std::string("regular expression: ") + u_errorName(status));
  matcher->reset(&view);
  std::vector<std::pair<std::int64_t, std::int64_t>> found;
  while (matcher->find(status) && U_SUCCESS(status)) {
    const std::int64_t begin = matcher->start64(status);
    const std::int64_t end = matcher->end64(status);
    if (end > begin) found.emplace_back(begin, end);
  }
  utext_close(&view);
  if (U_FAILURE(status)) throw Error(std::string("regular expression: ") + u_errorName(status));
  return found;
}

namespace {

struct Character {
  std::int64_t begin, end;  // bytes
  std::int64_t parts;       // characters that it decomposes into
};

std::vector<Character> characters(std::string_view text, const icu::Normalizer2& decompose) {
  std::vector<Character> found;
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t at = 0; at < size;) {
    UChar32 code = 0;
    const std::int32_t begin = at;
    U8_NEXT(data, at, size, code);
    UErrorCode status = U_ZERO_ERROR;
    const std::int64_t parts = code < 0 ? 1 : decompose.normalize(icu::UnicodeString(code), status).countChar32();
    found.push_back({begin, at, std::max<std::int64_t>(parts, 1)});
  }
  return found;
}

// A stretch that normalisation changed: both sides decompose into the same number of characters, by which they are laid
// side by side.
void align(std::string_view source, std::string_view made, std::int64_t offset, const icu::Normalizer2& decompose,
           Normalised& result) {
  const std::vector<Character> from = characters(source, decompose);
  std::size_t at = 0;
  std::int64_t before = 0, part = 0;  // parts before character `at` of the source; parts before the one that is placed
  auto holder = [&](std::int64_t wanted) -> const Character& {
    while (at + 1 < from.size() && wanted >= before + from[at].parts) before += from[at++].parts;
    return from[at];
  };
  for (const Character& character : characters(made, decompose)) {
    const std::int64_t begin = offset + holder(part).begin;
    part += character.parts;
    const std::int64_t end = offset + holder(part - 1).end;
    result.begins.insert(result.begins.end(), static_cast<std::size_t>(character.end - character.begin), begin);
    result.ends.insert(result.ends.end(), static_cast<std::size_t>(character.end - character.begin), end);
  }
}

}  // namespace

Normalised normalise(std::string_view text, const std::string& form) {
  UErrorCode status = U_ZERO_ERROR;
  const bool compatible = form == "NFKC" || form == "NFKD";
  const icu::Normalizer2* decompose =
      compatible ? icu::Normalizer2::getNFKDInstance(status) : icu::Normalizer2::getNFDInstance(status);
  const icu::Normalizer2* normaliser = form == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                       : form == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                        : decompose;
  const icu::StringPiece piece(text.data(), static_cast<std::int32_t>(text.size()));
  if (U_SUCCESS(status) && normaliser->isNormalizedUTF8(piece, status) && U_SUCCESS(status))
    return {std::string(text), {}, {}};
  Normalised result;
  icu::Edits edits;
  icu::StringByteSink<std::string> sink(&result.text);
  normaliser->normalizeUTF8(0, piece, sink, &edits, status);
  icu::Edits::Iterator it = edits.getFineIterator();
  while (it.next(status)) {
    const std::int64_t source = it.sourceIndex();
    if (it.hasChange()) {
      align(text.substr(static_cast<std::size_t>(source), static_cast<std::size_t>(it.oldLength())),
            std::string_view(result.text)
                .substr(static_cast<std::size_t>(it.destinationIndex()), static_cast<std::size_t>(it.newLength())),
            source, *decompose, result);
      continue;
    }
    for (std::int64_t i = 0; i < it.newLength(); ++i) {
      result.begins.push_back(source + i);
      result.ends.push_back(source + i + 1);
    }
  }
  if (U_FAILURE(status) || result.begins.size() != result.text.size())
    throw Error(std::string("normalisation: ") + u_errorName(status));
  return result;
}

std::string valid_utf8(std::string_view bytes) {
  std::string valid;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto size = static_cast<std::int32_t>(bytes.size());
  for (std::int32_t at = 0; at < size;) {
    UChar32 code = 0;
    const std::int32_t begin = at;
    U8_NEXT(data, at, size, code);
    if (code < 0) {
      valid += "\xEF\xBF\xBD";
    } else {
      valid.append(bytes.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(at - begin)));
    }
  }
  return valid;
}

std::string utf8(std::uint32_t code) {
  std::string text;
  icu::UnicodeString(static_cast<UChar32>(code)).toUTF8String(text);
  return text;
}

std::vector<std::uint32_t> code_points(std::string_view text) {
  std::vector<std::uint32_t> codes;
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t at = 0; at < size;) {
    UChar32 code = 0;
    U8_NEXT(data, at, size, code);
    codes.push_back(code < 0 ? 0xFFFD : static_cast<std::uint32_t>(code));
  }
  return codes;
}

}  // namespace vene::text
