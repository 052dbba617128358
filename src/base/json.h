// SPDX-License-Identifier: Apache-2.0
// The one reader of JSON: limits, keys given twice, and what a message quotes. Private: nlohmann's types stay out of
// public headers.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace vene::detail {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

/// Objects and lists may lie this deep in each other, in every file that is read.
constexpr int kDeepestJson = 64;

/// Python writes NaN, Infinity and -Infinity, which JSON does not have.
enum class NonFinite { kRefused, kRead };

/// Parses text that may come from anybody: nesting deeper than kDeepestJson is refused before anything is built, and so
/// is a key given twice in one object. Where it is no JSON, returns a discarded value and says why in `problem`, one
/// sentence with line and column.
Json read_json(std::string_view text, std::string& problem, NonFinite non_finite = NonFinite::kRefused);
/// The same, with the members of objects in the order of the text.
OrderedJson read_ordered_json(std::string_view text, std::string& problem);

/// The same; throws `E` with "where: what is wrong".
template <class E>
Json read_json(std::string_view text, const std::string& where, NonFinite non_finite = NonFinite::kRefused) {
  std::string problem;
  Json json = read_json(text, problem, non_finite);
  if (!problem.empty()) throw E(where.empty() ? problem : where + ": " + problem);
  return json;
}

/// A value for an error message, on one line, cut to `longest` bytes at the boundary of a character.
std::string json_text(const Json& value, std::size_t longest = 80);

/// JSON to be printed or written; text that is no UTF-8 becomes U+FFFD instead of an exception.
template <class J>
std::string written_json(const J& value, int indent = 2) {
  return value.dump(indent, ' ', false, J::error_handler_t::replace);
}

}  // namespace vene::detail
