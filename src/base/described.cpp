// SPDX-License-Identifier: Apache-2.0
#include "src/base/described.h"

#include <cstdio>

#include "vene/base/names.h"

namespace vene::detail {
namespace {

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '|' ? std::string("\\|") : std::string(1, c);
  return safe;
}

}  // namespace

Range count(std::int64_t least, const std::string& words) {
  Range range = at_least(static_cast<double>(least), words);
  range.most = static_cast<double>(kMostCount);
  range.counts = true;
  return range;
}

std::string Range::expected(double came) const {
  return counts && came > most ? "at most " + short_number(most) : words;
}

Range at_least(double least, const std::string& words) {
  Range range;
  range.least = least;
  range.words = words.empty() ? "at least " + short_number(least) : words;
  return range;
}

Range above(double least, const std::string& words) {
  Range range = at_least(least, words.empty() ? "more than " + short_number(least) : words);
  range.least_itself = false;
  return range;
}

void DescribeOptions::add(const OptionText& text, const std::string& type, const Json& otherwise,
                          std::span<const std::string_view> names) {
  Json property{{"type", type}, {"description", text.doc}};
  std::string may = text.range.words;
  if (!names.empty()) {
    property["enum"] = std::vector<std::string>(names.begin(), names.end());
    may = join({names.begin(), names.end()});
  }
  if (otherwise.is_null()) {
    property["type"] = {type, "null"};
  } else {
    property["default"] = otherwise;
  }
  const bool number = type == "integer" || type == "number";
  if (number && std::isfinite(text.range.least))
    property[text.range.least_itself ? "minimum" : "exclusiveMinimum"] = text.range.least;
  if (number && std::isfinite(text.range.most))
    property[text.range.most_itself ? "maximum" : "exclusiveMaximum"] = text.range.most;
  properties_[text.name] = property;
  const std::string shown = otherwise.is_null()           ? "none"
                            : otherwise.is_number_float() ? short_number(otherwise.get<double>())
                                                          : written_json(otherwise, -1);
  rows_ += "| `" + std::string(text.name) + "` | " + cell(may.empty() ? type : may) + " | `" + shown + "` | " +
           cell(text.doc) + " |\n";
}

std::string DescribeOptions::table() const {
  return "| option | may be | default | meaning |\n|---|---|---|---|\n" + rows_;
}

}  // namespace vene::detail
