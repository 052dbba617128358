// SPDX-License-Identifier: Apache-2.0
// Options that are described once. A struct of options has one function
//   template <class Options, class Visitor> void visit(Options&, Visitor&& v)   // v(OptionText{name, ...}, member);
// that says of each option its name, its range and a sentence; what reads it from JSON, checks it, lists it in the docs
// and in a schema are the visitors below.
#pragma once
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/json_reader.h"

namespace vene::detail {

/// Numbers that may stand for an option, and the words for them: "at least 1".
struct Range {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool least_itself = true, most_itself = true;
  std::string words{};
  /// The words for what was wrong with a value: what there may be most of is not worth telling of otherwise.
  std::string expected(double came) const;
  bool counts = false;
  bool holds(double value) const {
    return std::isfinite(value) && (least_itself ? value >= least : value > least) &&
           (most_itself ? value <= most : value < most);
  }
};

/// More of anything cannot be counted here: products of two still fit 64 bits.
constexpr std::int64_t kMostCount = (std::int64_t{1} << 31) - 1;

/// A count; `words` say what it means where "at least 1" does not.
Range count(std::int64_t least, const std::string& words = "");
Range at_least(double least, const std::string& words = "");
Range above(double least, const std::string& words = "");

struct OptionText {
  const char* name;
  const char* doc;  ///< one sentence, for the tables of the docs and for the schema
  Range range{};
  bool resumes = false;  ///< a training that goes on must have the same value
};

template <class T>
concept Enumeration = std::is_enum_v<T>;  // with std::span<const std::string_view> names_of(T), found by ADL

/// Reads what is there; whether it is in its range is for CheckOptions, which all options go through. Throws
/// ConfigError.
class ReadOptions {
 public:
  explicit ReadOptions(JsonReader& json) : json_(json) {}
  void operator()(const OptionText& text, std::int64_t& value) { json_.read(text.name, value); }
  void operator()(const OptionText& text, double& value) { json_.read(text.name, value); }
  void operator()(const OptionText& text, std::uint64_t& value) {  // a seed
    if (const auto member = json_.find(text.name))
      value = static_cast<std::uint64_t>(member->integer("an integer of at least 0", 0));
  }
  void operator()(const OptionText& text, bool& value) { json_.read(text.name, value); }
  void operator()(const OptionText& text, std::optional<std::pair<double, double>>& value) {
    const auto member = json_.find(text.name);
    if (!member) return;
    const std::string expected = "the first and the last, such as [50, 0.1]";
    const std::vector<JsonReader> both = member->each(expected);
    if (both.size() != 2 || !both[0].json().is_number() || !both[1].json().is_number()) member->expected(expected);
    value = {both[0].number(), both[1].number()};
    if (!text.range.holds(value->first) || !text.range.holds(value->second)) member->expected(text.range.words);
  }
  void operator()(const OptionText& text, std::vector<std::int64_t>& value) {
    json_.read(text.name, value, text.range.words);
  }
  void operator()(const OptionText& text, std::vector<std::string>& value) {
    json_.read(text.name, value, text.range.words);
  }
  template <Enumeration T>
  void operator()(const OptionText& text, T& value) {
    const auto member = json_.find(text.name);
    if (!member) return;
    const auto names = names_of(value);
    value = static_cast<T>(member->one_of(text.name, {names.begin(), names.end()}));
  }

 private:
  JsonReader& json_;
};

/// Calls `fail(text, value)` for the first number that is out of its range.
template <class Fail>
class CheckOptions {
 public:
  explicit CheckOptions(Fail fail) : fail_(std::move(fail)) {}
  template <class T>
  void operator()(const OptionText& text, const T& value) const {
    if constexpr (std::is_arithmetic_v<T>) {
      if (!text.range.holds(static_cast<double>(value))) fail_(text, static_cast<double>(value));
    }
  }
  template <class T>
  requires std::is_arithmetic_v<T>
  void operator()(const OptionText& text, const std::optional<T>& value) const {
    if (value) (*this)(text, *value);
  }

 private:
  Fail fail_;
};

/// The value of an option as JSON; null where it has none.
template <class T>
Json option_json(const T& value) {
  if constexpr (Enumeration<T>) {
    return std::string(names_of(value)[static_cast<std::size_t>(value)]);
  } else {
    return value;
  }
}
inline Json option_json(const std::optional<std::pair<double, double>>& value) {
  return value ? Json{value->first, value->second} : Json();
}
template <class T>
Json option_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// One line of a table, and one property of a schema, for each option.
class DescribeOptions {
 public:
  template <class T>
  void operator()(const OptionText& text, const T& value) {
    std::span<const std::string_view> names;
    if constexpr (Enumeration<T>) names = names_of(value);
    add(text, type_of(value), option_json(value), names);
  }
  std::string table() const;
  Json schema() const { return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties_}}; }

 private:
  void add(const OptionText& text, const std::string& type, const Json& otherwise,
           std::span<const std::string_view> names);
  template <class T>
  static std::string type_of(const std::optional<T>& value) {
    return value ? type_of(*value) : type_of(T{});
  }
  template <class T>
  static std::string type_of(const T&) {
    if constexpr (std::is_same_v<T, bool>) return "boolean";
    if constexpr (std::is_integral_v<T>) return "integer";
    if constexpr (std::is_floating_point_v<T>) return "number";
    if constexpr (Enumeration<T> || std::is_same_v<T, std::string>) return "string";
    return "array";
  }
  std::string rows_;
  Json properties_ = Json::object();
};

}  // namespace vene::detail
