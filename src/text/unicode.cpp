// SPDX-License-Identifier: Apache-2.0
#include "src/text/unicode.h"

#include <unicode/brkiter.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>
#include <unicode/utf8.h>

#include <memory>

#include "vene/base/error.h"

namespace vene::text {

std::uint32_t next_code_slow(std::string_view text, std::size_t& at) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
  auto index = static_cast<std::int64_t>(at);
  const auto size = static_cast<std::int64_t>(text.size());
  UChar32 code = 0;
  U8_NEXT(data, index, size, code);
  at = static_cast<std::size_t>(index);
  return code < 0 ? kReplacement : static_cast<std::uint32_t>(code);
}

std::string valid_utf8(std::string_view bytes) {
  std::string valid;
  valid.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t begin = at;
    if (next_code(bytes, at) == kReplacement)
      valid += "\xEF\xBF\xBD";
    else
      valid.append(bytes.substr(begin, at - begin));
  }
  return valid;
}

bool is_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t begin = at;
    if (next_code(bytes, at) == kReplacement && bytes.substr(begin, at - begin) != "\xEF\xBF\xBD") return false;
  }
  return true;
}

void append_utf8(std::string& text, std::uint32_t code) {
  std::uint8_t bytes[U8_MAX_LENGTH];
  std::int32_t size = 0;
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = kReplacement;
  U8_APPEND_UNSAFE(bytes, size, static_cast<UChar32>(code));
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

std::string utf8(std::uint32_t code) {
  std::string text;
  append_utf8(text, code);
  return text;
}

std::vector<std::uint32_t> code_points(std::string_view text) {
  std::vector<std::uint32_t> codes;
  for (std::size_t at = 0; at < text.size();) codes.push_back(next_code(text, at));
  return codes;
}

namespace {

std::uint32_t category(std::uint32_t code) {
  return U_MASK(u_charType(static_cast<UChar32>(code)));
}
bool is_ascii_letter_or_digit(std::uint32_t code) {
  return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9');
}

}  // namespace

bool is_space(std::uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
  return u_isUWhiteSpace(static_cast<UChar32>(code)) != 0;
}

bool is_numeric(std::uint32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  return (category(code) & (U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK)) != 0;
}

bool is_word(std::uint32_t code) {
  if (code < 0x80) return is_ascii_letter_or_digit(code) || code == '_';
  return (category(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 || code == 0x200C || code == 0x200D ||
         u_hasBinaryProperty(static_cast<UChar32>(code), UCHAR_ALPHABETIC) != 0;
}

bool is_punctuation(std::uint32_t code) {
  if (code < 0x80) return code > ' ' && code < 0x7F && !is_ascii_letter_or_digit(code);
  return (category(code) & U_GC_P_MASK) != 0;
}

bool is_control(std::uint32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  return (category(code) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0;
}

bool is_cjk(std::uint32_t code) {
  const auto in = [code](std::uint32_t first, std::uint32_t last) { return code >= first && code <= last; };
  return in(0x4E00, 0x9FFF) || in(0x3400, 0x4DBF) || in(0x20000, 0x2A6DF) || in(0x2A700, 0x2B73F) ||
         in(0x2B740, 0x2B81F) || in(0x2B920, 0x2CEAF) || in(0xF900, 0xFAFF) || in(0x2F800, 0x2FA1F);
}

bool is_mark(std::uint32_t code) {
  return (category(code) & U_GC_M_MASK) != 0;
}
bool is_nonspacing_mark(std::uint32_t code) {
  return (category(code) & U_GC_MN_MASK) != 0;
}

std::string lower_case(std::uint32_t code) {
  if (code == 0x130) return "i\xCC\x87";
  return utf8(static_cast<std::uint32_t>(u_tolower(static_cast<UChar32>(code))));
}

int script_of(std::uint32_t code) {
  if (code == ' ') return -1;
  if (code == 0x30FC) return USCRIPT_HAN;
  constexpr std::uint8_t kTable = 9;  // the version of Unicode that the tokenizers library's table is of
  UVersionInfo age{};
  u_charAge(static_cast<UChar32>(code), age);
  UErrorCode status = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(static_cast<UChar32>(code), &status);
  if (script == USCRIPT_UNKNOWN || age[0] > kTable) return -1;
  return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
}

std::vector<std::size_t> grapheme_ends(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  UText view = UTEXT_INITIALIZER;
  utext_openUTF8(&view, text.data(), static_cast<std::int64_t>(text.size()), &status);
  const std::unique_ptr<icu::BreakIterator> clusters(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  std::vector<std::size_t> ends;
  if (U_SUCCESS(status)) {
    clusters->setText(&view, status);
    for (std::int32_t end = clusters->next(); U_SUCCESS(status) && end != icu::BreakIterator::DONE;
         end = clusters->next())
      ends.push_back(static_cast<std::size_t>(end));
  }
  utext_close(&view);
  if (U_FAILURE(status)) throw Error(std::string("clusters of characters: ") + u_errorName(status));
  return ends;
}

}  // namespace vene::text
