// SPDX-License-Identifier: Apache-2.0
#include "src/locations/parse.h"

#include <algorithm>

#include "src/base/readable.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using detail::item;
using detail::Json;
using detail::JsonReader;

bool is_selector(const Json& json) {
  return json.is_number() || json.is_string() || json.is_boolean() ||
         (json.is_object() && !json.contains("pos") && !json.contains("h"));
}

Selector named_selector(const JsonReader& json) {
  Selector selector;
  const std::string name = json.text();
  const std::string further = " (a piece of text is {\"token\": \"" + shortened(name) + "\"})";
  const std::size_t which = json.one_of("position", {"first", "last", "all", "prompt"}, further);
  selector.kind = which == 0 ? Selector::Kind::kFirst : which == 1 ? Selector::Kind::kLast : Selector::Kind::kAll;
  selector.begin = which < 2 ? 1 : 0;
  return selector;
}

Selector parse_selector(JsonReader json) {
  Selector selector;
  if (json.json().is_number_integer()) {
    selector.begin = json.integer();
    return selector;
  }
  if (json.json().is_string()) return named_selector(json);
  if (!json.json().is_object())
    json.expected(
        "a position: an integer, \"last\", \"first\", \"all\", \"prompt\", {\"token\": ...} or {\"span\": [a, b]}");
  if (json.has("token")) {
    json.refuse_others({"token", "occurrence"});
    selector.kind = Selector::Kind::kToken;
    selector.text = json.at("token").some_text("a piece of text");
    if (json.has("occurrence")) selector.occurrence = json.at("occurrence").integer();
    return selector;
  }
  if (json.has("span")) {
    json.refuse_others({"span"});
    const JsonReader span = json.at("span");
    const std::vector<JsonReader> ends = span.each("[begin, end]");
    if (ends.size() != 2) span.expected("[begin, end]");
    selector.kind = Selector::Kind::kSpan;
    selector.begin = ends[0].integer();
    selector.end = ends[1].integer();
    return selector;
  }
  for (const char* name : {"first", "last"}) {
    if (!json.has(name)) continue;
    json.refuse_others({name});
    selector.kind = std::string_view(name) == "first" ? Selector::Kind::kFirst : Selector::Kind::kLast;
    const JsonReader count = json.at(name);
    selector.begin = count.integer();
    if (selector.begin < 1) count.expected("a count of at least 1");
    return selector;
  }
  json.expected("one of the keys \"token\", \"span\", \"first\", \"last\"");
}

// A selector or a flat list of them: the units of one row.
RowSelection parse_row(const JsonReader& json) {
  if (!json.json().is_array()) return {parse_selector(json)};
  RowSelection row;
  for (const JsonReader& entry : json.each("positions")) row.push_back(parse_selector(entry));
  return row;
}

bool is_flat(const Json& json) {
  return is_selector(json) || (json.is_array() && std::all_of(json.begin(), json.end(), is_selector));
}

// The units along one axis: for every row alike, or a list of rows.
AxisSelection parse_axis(const JsonReader& json) {
  AxisSelection axis;
  if (is_flat(json.json())) {
    axis.rows.push_back(parse_row(json));
    return axis;
  }
  for (const JsonReader& row : json.each("positions")) {
    if (!is_flat(row.json())) row.expected("the positions of one row");
    axis.rows.push_back(parse_row(row));
  }
  return axis;
}

std::size_t depth(const Json& json) {
  if (!json.is_array()) return 0;
  std::size_t deepest = 0;
  for (const Json& entry : json) deepest = std::max(deepest, depth(entry));
  return deepest + 1;
}

bool has_both_axes(const JsonReader& json) {
  return json.has("h") || json.has("pos");
}

// What one intervention gets: null, one axis, or heads and positions.
UnitSelection parse_units(JsonReader json) {
  if (json.json().is_null()) return std::nullopt;
  if (has_both_axes(json)) {
    json.refuse_others({"h", "pos"});
    if (!json.has("h") || !json.has("pos")) json.expected("both \"h\" and \"pos\"");
    return std::vector<AxisSelection>{parse_axis(json.at("h")), parse_axis(json.at("pos"))};
  }
  if (depth(json.json()) == 3) {  // pyvene's [heads, positions], each [row][unit]
    const std::vector<JsonReader> axes = json.each("positions");
    if (axes.size() != 2) json.expected("[heads, positions], each a list of rows");
    return std::vector<AxisSelection>{parse_axis(axes[0]), parse_axis(axes[1])};
  }
  return std::vector<AxisSelection>{parse_axis(json)};
}

SideSelection parse_side(const JsonReader& reader) {
  const Json& json = reader.json();
  SideSelection side;
  // null, a selector, a flat list, a list of rows, or {"h", "pos"}: meant for every intervention.
  const bool nested = json.is_array() && !is_flat(json) &&
                      (depth(json) >= 3 || std::any_of(json.begin(), json.end(), [](const Json& entry) {
                         return entry.is_null() || (entry.is_object() && !is_selector(entry));
                       }));
  if (!nested) {
    side.for_all = true;
    side.units.push_back(parse_units(reader));
    return side;
  }
  for (const JsonReader& entry : reader.each("positions")) side.units.push_back(parse_units(entry));
  return side;
}

HopSelection parse_hop(const JsonReader& json) {
  // One selector is both sides; a list is always [SRC, BASE].
  if (json.json().is_null() || is_selector(json.json()) || has_both_axes(json)) return {std::nullopt, parse_side(json)};
  const std::string expected = "one position for both sides, or [SRC, BASE]";
  const std::vector<JsonReader> sides = json.each(expected);
  if (sides.size() != 2) json.expected(expected);
  return {parse_side(sides[0]), parse_side(sides[1])};
}

}  // namespace

Locations detail::parse_locations(const Json& json) {
  JsonReader root(json, "unit_locations");
  Locations locations;
  if (json.is_null()) return locations;
  if (!json.is_object()) root.expected("null or an object such as {\"base\": 3}");
  if (depth(json) > 8) root.expected("lists at most 4 deep");
  if (json.contains("base")) {
    if (json.contains("sources->base")) root.fail("'base' and 'sources->base' are two ways to say one thing; give one");
    locations.hops["sources->base"] = {std::nullopt, parse_side(root.at("base"))};
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "base") continue;
    if (key.find("->") == std::string::npos) {
      root.fail("unknown key '" + shortened(key) + "'" +
                name_hint(key, {"base", "sources->base", "source_0->base", "source_0->source_1"}));
    }
    locations.hops[key] = parse_hop(JsonReader(value, root.path() + "[\"" + shortened(key) + "\"]"));
  }
  return locations;
}

Locations Locations::parse(std::string_view text) {
  return detail::parse_locations(detail::read_json<ConfigError>(text, "unit_locations"));
}

}  // namespace vene
