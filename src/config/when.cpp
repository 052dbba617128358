// SPDX-License-Identifier: Apache-2.0
#include "src/config/when.h"

#include <algorithm>
#include <optional>

#include "src/config/json_value.h"
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

using Json = nlohmann::json;

std::int64_t step(const Json& value, const std::string& path) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > std::int64_t{1} << 40)
    throw ConfigError(path + ": expected a step, an integer of at least 0, got " + json_text(value));
  return value.get<std::int64_t>();
}

}  // namespace

When when_from_json(const Json& value, const std::string& path) {
  if (value.is_string()) {
    const auto name = value.get<std::string>();
    if (name == "prompt") return When::prompt();
    if (name == "decode") return When::decode();
    if (name == "both") return When::both();
    throw ConfigError(path + ": unknown time '" + name + "'" + name_hint(name, {"prompt", "decode", "both"}) +
                      " (or {\"steps\": [...]})");
  }
  if (!value.is_object() || value.size() != 1 || !value.contains("steps")) {
    throw ConfigError(path + ": expected \"prompt\", \"decode\", \"both\" or {\"steps\": [...]}, got " +
                      json_text(value));
  }
  const Json& list = value["steps"];
  if (!list.is_array() || list.empty())
    throw ConfigError(path + ".steps: expected a list of steps, got " + json_text(list));
  std::optional<When> when;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string here = path + ".steps[" + std::to_string(i) + "]";
    const Json& entry = list[i];
    std::int64_t begin = 0, end = 0;
    if (entry.is_object() && entry.size() == 1 && entry.contains("span")) {
      const Json& span = entry["span"];
      if (!span.is_array() || span.size() != 2)
        throw ConfigError(here + ".span: expected [begin, end], got " + json_text(span));
      begin = step(span[0], here + ".span[0]");
      end = span[1].is_null() ? When::kForever : step(span[1], here + ".span[1]");
      if (end <= begin) throw ConfigError(here + ".span: expected begin < end, got " + json_text(span));
    } else {
      begin = step(entry, here);
      end = begin + 1;
    }
    const When range = When::steps(begin, end);
    when = when ? *when + range : range;
  }
  return *when;
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
