// SPDX-License-Identifier: Apache-2.0
#include "src/text/pattern.h"

#include <unicode/uregex.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

#include "src/base/readable.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

// ICU counts its steps and calls ten thousand or so of them a unit; a search of this many takes seconds.
constexpr std::int32_t kLongestSearch = 3000;
constexpr std::int32_t kLargestStack = 64 << 20;

struct Close {
  void operator()(URegularExpression* expression) const { uregex_close(expression); }
};
using Handle = std::unique_ptr<URegularExpression, Close>;

// UTF-16 of a text, and the byte that each unit comes from.
void to_utf16(std::string_view text, std::vector<UChar>& units, std::vector<std::uint32_t>& bytes) {
  units.clear();
  bytes.clear();
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<std::uint32_t>(at);
    const std::uint32_t code = next_code(text, at);
    if (code > 0xFFFF) {
      units.push_back(U16_LEAD(code));
      bytes.push_back(first);
      units.push_back(U16_TRAIL(code));
    } else {
      units.push_back(static_cast<UChar>(code));
    }
    bytes.push_back(first);
  }
  bytes.push_back(static_cast<std::uint32_t>(text.size()));
}

}  // namespace

struct Pattern::Compiled {
  Handle handle;
};
struct Pattern::Search::State {
  Handle handle;
  std::vector<UChar> units;
  std::vector<std::uint32_t> bytes;
};

Pattern::Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Pattern Pattern::expression(const std::string& oniguruma, const std::string& where) {
  Pattern pattern;
  pattern.source_ = oniguruma;
  std::vector<UChar> units;
  std::vector<std::uint32_t> bytes;
  const std::string expression = icu_expression(oniguruma, where);
  to_utf16(expression.empty() ? "(?:)" : expression, units, bytes);
  UErrorCode status = U_ZERO_ERROR;
  UParseError problem{};
  pattern.compiled_ = std::make_unique<Compiled>();
  pattern.compiled_->handle.reset(
      uregex_open(units.data(), static_cast<std::int32_t>(units.size()), 0, &problem, &status));
  if (U_FAILURE(status))
    throw IoError(where + ": not a regular expression that can be read (" + u_errorName(status) +
                  "): " + shortened(oniguruma));
  return pattern;
}

Pattern Pattern::literal(const std::string& text) {
  if (text.empty()) return expression("", "an empty text");  // matches between all characters
  Pattern pattern;
  pattern.literal_ = pattern.source_ = text;
  return pattern;
}

Pattern Pattern::read(const Part& part) {
  const Part pattern = part.at("pattern");
  if (pattern.json().is_object() && pattern.json().size() == 1) {
    if (pattern.has("String")) return literal(pattern.text("String"));
    if (pattern.has("Regex")) return expression(pattern.text("Regex"), part.where());
  }
  part.fail("expected a 'pattern' of {\"Regex\": ...} or {\"String\": ...}, got " + detail::json_text(pattern.json()));
}

Pattern::Search::Search(const Pattern& pattern) : pattern_(pattern), state_(std::make_unique<State>()) {
  if (!pattern.compiled_) return;
  UErrorCode status = U_ZERO_ERROR;
  state_->handle.reset(uregex_clone(pattern.compiled_->handle.get(), &status));
  uregex_setTimeLimit(state_->handle.get(), kLongestSearch, &status);
  uregex_setStackLimit(state_->handle.get(), kLargestStack, &status);
  if (U_FAILURE(status)) throw Error(std::string("regular expression: ") + u_errorName(status));
}
Pattern::Search::~Search() = default;

void Pattern::Search::operator()(std::string_view text, std::vector<Match>& matches) {
  if (pattern_.compiled_) {
    expression(text, matches);
    return;
  }
  const std::string& wanted = pattern_.literal_;
  std::size_t at = 0;
  for (std::size_t found = text.find(wanted); found != std::string_view::npos; found = text.find(wanted, at)) {
    if (found > at) matches.push_back({at, found, false});
    at = found + wanted.size();
    matches.push_back({found, at, true});
  }
  if (at < text.size()) matches.push_back({at, text.size(), false});
}

void Pattern::Search::expression(std::string_view text, std::vector<Match>& matches) {
  State& state = *state_;
  to_utf16(text, state.units, state.bytes);
  const auto size = static_cast<std::int32_t>(state.units.size());
  URegularExpression* search = state.handle.get();
  UErrorCode status = U_ZERO_ERROR;
  uregex_setText(search, state.units.empty() ? u"" : state.units.data(), size, &status);
  std::size_t done = 0;        // bytes covered so far
  std::int32_t last_end = -1;  // of the last match; an empty one right behind it does not count
  std::int32_t at = 0;
  bool anew = true;  // whether ICU's own place is not where to go on
  while (U_SUCCESS(status) && at <= size) {
    if ((anew ? uregex_find(search, at, &status) : uregex_findNext(search, &status)) == 0) break;
    const std::int32_t begin = uregex_start(search, 0, &status), end = uregex_end(search, 0, &status);
    if (U_FAILURE(status)) break;
    anew = end == begin;
    if (end == begin && end == last_end) {
      at = end;
      if (at >= size) break;
      U16_FWD_1(state.units.data(), at, size);
      continue;
    }
    const std::size_t first = state.bytes[static_cast<std::size_t>(begin)];
    const std::size_t last = state.bytes[static_cast<std::size_t>(end)];
    if (first > done) matches.push_back({done, first, false});
    matches.push_back({first, last, true});
    done = last;
    last_end = at = end;
  }
  if (U_FAILURE(status)) {
    const bool slow = status == U_REGEX_TIME_OUT || status == U_REGEX_STACK_OVERFLOW;
    throw Error("the regular expression '" + shortened(pattern_.source_) + "' of the tokenizer " +
                (slow ? "takes too " + std::string(status == U_REGEX_TIME_OUT ? "long" : "much memory")
                      : "fails (" + std::string(u_errorName(status)) + ")") +
                " on a text of " + std::to_string(text.size()) + " bytes");
  }
  if (done < text.size()) matches.push_back({done, text.size(), false});
}

}  // namespace vene::text
