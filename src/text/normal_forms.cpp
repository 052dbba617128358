// SPDX-License-Identifier: Apache-2.0
#include "src/text/normal_forms.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/unorm2.h>

#include <algorithm>

#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

const icu::Normalizer2& normalizer(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found =
      form.compatible
          ? (form.composed ? icu::Normalizer2::getNFKCInstance(status) : icu::Normalizer2::getNFKDInstance(status))
          : (form.composed ? icu::Normalizer2::getNFCInstance(status) : icu::Normalizer2::getNFDInstance(status));
  if (U_FAILURE(status) || found == nullptr) throw Error(std::string("normalisation: ") + u_errorName(status));
  return *found;
}

// Taken apart, and marks put in their order; a part that was not there counts as put in.
std::vector<Change> decomposed(std::string_view text, const icu::Normalizer2& apart) {
  std::vector<Change> changes;
  changes.reserve(text.size());
  std::vector<std::uint8_t> classes;
  icu::UnicodeString parts;
  const auto push = [&](std::uint32_t code, int change) {
    changes.push_back({code, change});
    classes.push_back(code < 0x300 ? 0 : apart.getCombiningClass(static_cast<UChar32>(code)));
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t code = next_code(text, at);
    if (code < 0xA0 || !apart.getDecomposition(static_cast<UChar32>(code), parts)) {
      push(code, 0);
      continue;
    }
    for (std::int32_t i = 0; i < parts.length(); i = parts.moveIndex32(i, 1))
      push(static_cast<std::uint32_t>(parts.char32At(i)), i > 0 ? 1 : 0);
  }
  std::vector<std::pair<std::uint8_t, Change>> run;
  for (std::size_t begin = 0; begin < changes.size();) {
    if (classes[begin] == 0) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    run.clear();
    for (; end < changes.size() && classes[end] != 0; ++end) run.emplace_back(classes[end], changes[end]);
    std::stable_sort(run.begin(), run.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < run.size(); ++i) changes[begin + i] = run[i].second;
    begin = end;
  }
  return changes;
}

std::vector<Change> composed(const std::vector<Change>& parts, const icu::Normalizer2& together) {
  std::vector<Change> changes;
  changes.reserve(parts.size());
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t starter = kNone;  // in `changes`
  int last_class = -1;          // of what follows it there; -1: nothing
  for (const Change& part : parts) {
    const int combining = part.code < 0x300 ? 0 : together.getCombiningClass(static_cast<UChar32>(part.code));
    if (starter != kNone && last_class < combining) {
      const UChar32 made =
          together.composePair(static_cast<UChar32>(changes[starter].code), static_cast<UChar32>(part.code));
      if (made >= 0) {
        changes[starter].code = static_cast<std::uint32_t>(made);
        changes[starter].change += part.change - 1;
        continue;
      }
    }
    changes.push_back(part);
    if (combining == 0) {
      starter = changes.size() - 1;
      last_class = -1;
    } else {
      last_class = combining;
    }
  }
  return changes;
}

}  // namespace

// By the characters' own properties: ICU's check sorts marks as it goes, which takes a long run of them quadratic time.
bool is_surely_normal(std::string_view text, NormalForm form) {
  const UProperty property = form.compatible ? (form.composed ? UCHAR_NFKC_QUICK_CHECK : UCHAR_NFKD_QUICK_CHECK)
                                             : (form.composed ? UCHAR_NFC_QUICK_CHECK : UCHAR_NFD_QUICK_CHECK);
  int last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t code = next_code(text, at);
    if (code < 0xA0) {
      last = 0;
      continue;
    }
    const auto character = static_cast<UChar32>(code);
    if (u_getIntPropertyValue(character, property) != UNORM_YES) return false;
    const int combining = u_getCombiningClass(character);
    if (combining != 0 && combining < last) return false;
    last = combining;
  }
  return true;
}

std::vector<Change> normal_form(std::string_view text, NormalForm form) {
  std::vector<Change> parts = decomposed(text, normalizer({form.compatible, false}));
  return form.composed ? composed(parts, normalizer(form)) : parts;
}

}  // namespace vene::text
