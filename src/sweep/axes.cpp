// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/axes.h"

#include <algorithm>
#include <functional>
#include <set>

#include "vene/base/names.h"

namespace vene::detail {
namespace {

constexpr std::size_t kMostCells = 10'000'000;

bool is_name(std::string_view text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) == 0 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 128 && (std::isalnum(c) != 0 || c == '_'); });
}

// The name that a whole text is: "$layer"; empty: it is none.
std::string_view whole_name(std::string_view text) {
  return text.starts_with('$') && is_name(text.substr(1)) ? text.substr(1) : std::string_view();
}

// Calls `text` with what is not a name, and `name` with each "${name}".
void for_parts(std::string_view all, const std::function<void(std::string_view)>& text,
               const std::function<void(std::string_view)>& name) {
  while (!all.empty()) {
    const std::size_t begin = all.find("${"), end = begin == all.npos ? all.npos : all.find('}', begin);
    if (end == all.npos) break;
    const std::string_view found = all.substr(begin + 2, end - begin - 2);
    text(all.substr(0, begin));
    if (is_name(found)) {
      name(found);
    } else {
      text(all.substr(begin, end + 1 - begin));
    }
    all.remove_prefix(end + 1);
  }
  text(all);
}

void for_names(const Json& json, const std::function<void(std::string_view)>& found) {
  if (json.is_structured()) {
    for (const Json& member : json) for_names(member, found);
  } else if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    if (const auto name = whole_name(text); !name.empty()) {
      found(name);
    } else {
      for_parts(
          text, [](std::string_view) {}, found);
    }
  }
}

std::vector<Json> counted(std::int64_t begin, std::int64_t end, std::int64_t step) {
  std::vector<Json> values;
  for (std::int64_t i = begin; i < end; i += step) values.emplace_back(i);
  return values;
}

std::vector<Json> read_range(JsonReader json) {
  json.refuse_others({"range"});
  const JsonReader range = json.at("range");
  const std::vector<std::int64_t> numbers = range.integers("[first, end] or [first, end, step]", "an integer");
  const std::int64_t step = numbers.size() == 3 ? numbers[2] : 1;
  if ((numbers.size() != 2 && numbers.size() != 3) || step < 1 || numbers[0] >= numbers[1])
    range.expected("[first, end] or [first, end, step], with end (exclusive) behind first");
  if ((numbers[1] - numbers[0]) / step > static_cast<std::int64_t>(kMostCells))
    range.fail("more values than a table can hold");
  return counted(numbers[0], numbers[1], step);
}

std::vector<Json> read_values(const JsonReader& json, const std::string& name, const AxisSizes& sizes) {
  if (json.json().is_object()) return read_range(json);
  if (json.json().is_string() && json.text() == "all") {
    const std::int64_t size = name == "layer" ? sizes.layers : name == "position" ? sizes.positions : 0;
    if (size > 0) return counted(0, size, 1);
    if (name == "position")
      json.fail("\"all\" needs a base of texts of one length that no axis changes; list the positions");
    json.fail("\"all\" is for the axes \"layer\" and \"position\"; list the values");
  }
  std::vector<Json> values;
  for (const JsonReader& value : json.each("a list of values, {\"range\": [first, end]} or \"all\""))
    values.push_back(value.json());
  if (values.empty()) json.fail("an axis without values makes an empty grid");
  return values;
}

}  // namespace

std::vector<Axis> read_axes(JsonReader json, std::string_view text, const AxisSizes& sizes) {
  json.expect_object("{\"layer\": \"all\", \"position\": [0, 1]}");
  std::string problem;
  const OrderedJson ordered = read_ordered_json(text, problem);
  std::vector<Axis> axes;
  for (const auto& [name, values] : ordered.at("axes").items()) {
    const JsonReader axis = json.at(name);
    if (!is_name(name)) axis.fail("an axis is named by letters, digits and _, so that \"$NAME\" can stand for it");
    axes.push_back({name, read_values(axis, name, sizes)});
  }
  if (axes.empty()) json.fail("expected at least one axis");
  return axes;
}

std::size_t count_cells(const std::vector<Axis>& axes) {
  std::size_t cells = 1;
  for (const Axis& axis : axes) {
    cells *= axis.values.size();
    if (cells > kMostCells)
      throw ConfigError("axes: their combinations are more than " + std::to_string(kMostCells) +
                        " cells, which no table holds");
  }
  return cells;
}

void check_names(const Json& json, const std::vector<Axis>& axes) {
  std::vector<std::string> known;
  for (const Axis& axis : axes) known.push_back(axis.name);
  std::set<std::string> used;
  for_names(json, [&](std::string_view name) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw ConfigError("axes: the spec has \"$" + std::string(name) + "\", and no axis of that name" +
                        name_hint(std::string(name), known));
    used.emplace(name);
  });
  for (const std::string& name : known) {
    if (!used.contains(name))
      throw ConfigError("axes." + name + ": nothing in the spec says \"$" + name + "\", so the axis changes nothing");
  }
}

Json with_values(const Json& json, const std::vector<Axis>& axes, const std::vector<std::size_t>& place) {
  const auto value = [&](std::string_view name) -> const Json& {
    const auto axis = std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return a.name == name; });
    return axis->values[place[static_cast<std::size_t>(axis - axes.begin())]];
  };
  if (json.is_object() || json.is_array()) {
    Json copy = json.is_object() ? Json::object() : Json::array();
    if (json.is_array()) {
      for (const Json& member : json) copy.push_back(with_values(member, axes, place));
    } else {
      for (const auto& [key, member] : json.items()) copy[key] = with_values(member, axes, place);
    }
    return copy;
  }
  if (!json.is_string()) return json;
  const auto& text = json.get_ref<const std::string&>();
  if (const auto name = whole_name(text); !name.empty()) return value(name);
  std::string all;
  for_parts(
      text, [&](std::string_view part) { all += part; },
      [&](std::string_view name) {
        const Json& some = value(name);
        all += some.is_string() ? some.get<std::string>() : written_json(some, -1);
      });
  return all;
}

bool has_names(const Json& json) {
  bool found = false;
  for_names(json, [&](std::string_view) { found = true; });
  return found;
}

}  // namespace vene::detail
