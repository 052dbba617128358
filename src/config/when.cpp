// SPDX-License-Identifier: Apache-2.0
#include "src/config/when.h"

#include <algorithm>
#include <array>
#include <span>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {

When::When(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  for (const auto& [begin, end] : ranges) {
    if (begin < 0 || end <= begin) {
      throw ConfigError("when: steps " + std::to_string(begin) + " to " + std::to_string(end) +
                        " (exclusive) are none; steps count from 0, the pass over the prompt");
    }
    if (!ranges_.empty() && begin <= ranges_.back().second) {
      ranges_.back().second = std::max(ranges_.back().second, end);
    } else {
      ranges_.emplace_back(begin, end);
    }
  }
  if (ranges_.empty()) throw ConfigError("when: expected at least one step");
}

When When::from(std::int64_t first) {
  return When({{first, kForever}});
}
When When::steps(std::int64_t begin, std::int64_t end) {
  return When({{begin, end}});
}

When When::steps(const std::vector<std::int64_t>& list) {
  Ranges ranges;
  for (std::int64_t step : list) ranges.emplace_back(step, step + 1);
  return When(std::move(ranges));
}

When When::operator+(const When& other) const {
  Ranges all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return When(std::move(all));
}

bool When::acts(std::int64_t step) const noexcept {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const auto& range) { return range.first <= step && step < range.second; });
}

std::string When::text() const {
  for (const auto& [name, when] :
       {std::pair("prompt", prompt()), std::pair("decode", decode()), std::pair("both", both())}) {
    if (*this == when) return name;
  }
  std::vector<std::string> parts;
  for (const auto& [begin, end] : ranges_) {
    const std::string first = std::to_string(begin);
    parts.push_back(end == begin + 1  ? first
                    : end == kForever ? first + " and on"
                                      : first + " to " + std::to_string(end - 1));
  }
  return "steps " + join(parts);
}

namespace detail {
namespace {

std::int64_t step(const JsonReader& value) {
  return value.integer("a step, an integer of at least 0", 0, std::int64_t{1} << 40);
}

When range_of(JsonReader entry) {
  if (!entry.json().is_object() || entry.json().size() != 1 || !entry.has("span")) {
    const std::int64_t begin = step(entry);
    return When::steps(begin, begin + 1);
  }
  const JsonReader span = entry.at("span");
  const std::vector<JsonReader> ends = span.each("[begin, end]");
  if (ends.size() != 2) span.expected("[begin, end]");
  const std::int64_t begin = step(ends[0]), end = ends[1].json().is_null() ? When::kForever : step(ends[1]);
  if (end <= begin) span.expected("begin < end");
  return When::steps(begin, end);
}

// By halves, as each union sorts: a long list takes no time that grows with its square.
When union_of(std::span<const JsonReader> entries) {
  if (entries.size() == 1) return range_of(entries[0]);
  const std::size_t half = entries.size() / 2;
  return union_of(entries.first(half)) + union_of(entries.subspan(half));
}

}  // namespace

When when_from_json(JsonReader value) {
  if (value.json().is_string()) {
    const std::array<When, 3> times{When::prompt(), When::decode(), When::both()};
    return times[value.one_of("time", {"prompt", "decode", "both"}, " (or {\"steps\": [...]})")];
  }
  if (!value.json().is_object() || value.json().size() != 1 || !value.has("steps"))
    value.expected("\"prompt\", \"decode\", \"both\" or {\"steps\": [...]}");
  const JsonReader list = value.at("steps");
  const std::vector<JsonReader> entries = list.each("a list of steps");
  if (entries.empty()) list.expected("a list of steps");
  return union_of(entries);
}

Json when_to_json(const When& when) {
  if (when == When::prompt()) return "prompt";
  if (when == When::decode()) return "decode";
  if (when == When::both()) return "both";
  Json steps = Json::array();
  for (const auto& [begin, end] : when.ranges()) {
    if (end == begin + 1) {
      steps.push_back(begin);
    } else {
      steps.push_back({{"span", {begin, end == When::kForever ? Json() : Json(end)}}});
    }
  }
  return {{"steps", steps}};
}

Json when_schema() {
  const Json step = {{"type", "integer"}, {"minimum", 0}};
  const Json span = {{"type", "object"},
                     {"properties", {{"span", {{"type", "array"}, {"minItems", 2}, {"maxItems", 2}}}}},
                     {"required", {"span"}}};
  const Json steps = {
      {"type", "object"},
      {"properties", {{"steps", {{"type", "array"}, {"minItems", 1}, {"items", {{"anyOf", {step, span}}}}}}}},
      {"required", {"steps"}}};
  return {{"anyOf", {{{"enum", {"prompt", "decode", "both"}}}, steps, {{"type", "null"}}}}};
}

}  // namespace detail
}  // namespace vene
