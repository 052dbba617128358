// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "src/base/json_problem.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/locations/locations.h"

namespace vene {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& path, const std::string& expected, const Json& came) {
  std::string text = came.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  throw ConfigError(path + ": expected " + expected + ", got " + text);
}

std::int64_t integer(const Json& json, const std::string& path) {
  if (!json.is_number_integer() || (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX))
    fail(path, "an integer", json);
  return json.get<std::int64_t>();
}

void only_keys(const Json& object, const std::string& path, const std::vector<std::string>& known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw ConfigError(path + ": unknown key '" + key + "'" + name_hint(key, known));
    }
  }
}

bool is_selector(const Json& json) {
  return json.is_number() || json.is_string() || json.is_boolean() ||
         (json.is_object() && !json.contains("pos") && !json.contains("h"));
}

Selector parse_selector(const Json& json, const std::string& path) {
  Selector selector;
  if (json.is_number_integer()) {
    selector.begin = integer(json, path);
    return selector;
  }
  if (json.is_string()) {
    const std::string name = json.get<std::string>();
    selector.begin = 1;
    if (name == "first") {
      selector.kind = Selector::Kind::kFirst;
    } else if (name == "last") {
      selector.kind = Selector::Kind::kLast;
    } else if (name == "all" || name == "prompt") {
      selector.kind = Selector::Kind::kAll;
      selector.begin = 0;
    } else {
      throw ConfigError(path + ": unknown position '" + name + "'" +
                        name_hint(name, {"first", "last", "all", "prompt"}) + " (a piece of text is {\"token\": \"" +
                        name + "\"})");
    }
    return selector;
  }
  if (!json.is_object())
    fail(path,
         "a position: an integer, \"last\", \"first\", \"all\", \"prompt\", {\"token\": ...} or {\"span\": [a, b]}",
         json);
  if (json.contains("token")) {
    only_keys(json, path, {"token", "occurrence"});
    if (!json["token"].is_string() || json["token"].get<std::string>().empty())
      fail(path + ".token", "a piece of text", json["token"]);
    selector.kind = Selector::Kind::kToken;
    selector.text = json["token"].get<std::string>();
    if (json.contains("occurrence")) selector.occurrence = integer(json["occurrence"], path + ".occurrence");
    return selector;
  }
  if (json.contains("span")) {
    only_keys(json, path, {"span"});
    const Json& span = json["span"];
    if (!span.is_array() || span.size() != 2) fail(path + ".span", "[begin, end]", span);
    selector.kind = Selector::Kind::kSpan;
    selector.begin = integer(span[0], path + ".span[0]");
    selector.end = integer(span[1], path + ".span[1]");
    return selector;
  }
  for (const char* name : {"first", "last"}) {
    if (json.contains(name)) {
      only_keys(json, path, {name});
      selector.kind = std::string_view(name) == "first" ? Selector::Kind::kFirst : Selector::Kind::kLast;
      selector.begin = integer(json[name], path + "." + name);
      if (selector.begin < 1) fail(path + "." + name, "a count of at least 1", json[name]);
      return selector;
    }
  }
  fail(path, "one of the keys \"token\", \"span\", \"first\", \"last\"", json);
}

std::string item(const std::string& path, std::size_t i) {
  return path + "[" + std::to_string(i) + "]";
}

// A selector or a flat list of them: the units of one row.
RowSelection parse_row(const Json& json, const std::string& path) {
  if (!json.is_array()) return {parse_selector(json, path)};
  RowSelection row;
  for (std::size_t i = 0; i < json.size(); ++i) row.push_back(parse_selector(json[i], item(path, i)));
  return row;
}

bool is_flat(const Json& json) {
  return is_selector(json) || (json.is_array() && std::all_of(json.begin(), json.end(), is_selector));
}

// The units along one axis: for every row alike, or a list of rows.
AxisSelection parse_axis(const Json& json, const std::string& path) {
  AxisSelection axis;
  if (is_flat(json)) {
    axis.rows.push_back(parse_row(json, path));
    return axis;
  }
  if (!json.is_array()) fail(path, "positions", json);
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!is_flat(json[i])) fail(item(path, i), "the positions of one row", json[i]);
    axis.rows.push_back(parse_row(json[i], item(path, i)));
  }
  return axis;
}

std::size_t depth(const Json& json) {
  if (!json.is_array()) return 0;
  std::size_t deepest = 0;
  for (const Json& entry : json) deepest = std::max(deepest, depth(entry));
  return deepest + 1;
}

// What one intervention gets: null, one axis, or heads and positions.
UnitSelection parse_units(const Json& json, const std::string& path) {
  if (json.is_null()) return std::nullopt;
  if (json.is_object() && (json.contains("h") || json.contains("pos"))) {
    only_keys(json, path, {"h", "pos"});
    if (!json.contains("h") || !json.contains("pos")) fail(path, "both \"h\" and \"pos\"", json);
    return std::vector<AxisSelection>{parse_axis(json["h"], path + ".h"), parse_axis(json["pos"], path + ".pos")};
  }
  if (depth(json) == 3) {  // pyvene's [heads, positions], each [row][unit]
    if (json.size() != 2) fail(path, "[heads, positions], each a list of rows", json);
    return std::vector<AxisSelection>{parse_axis(json[0], item(path, 0)), parse_axis(json[1], item(path, 1))};
  }
  return std::vector<AxisSelection>{parse_axis(json, path)};
}

SideSelection parse_side(const Json& json, const std::string& path) {
  SideSelection side;
  // null, a selector, a flat list, a list of rows, or {"h", "pos"}: meant for every intervention.
  const bool nested = json.is_array() && !is_flat(json) &&
                      (depth(json) >= 3 || std::any_of(json.begin(), json.end(), [](const Json& entry) {
                         return entry.is_null() || (entry.is_object() && !is_selector(entry));
                       }));
  if (!nested) {
    side.for_all = true;
    side.units.push_back(parse_units(json, path));
    return side;
  }
  for (std::size_t i = 0; i < json.size(); ++i) side.units.push_back(parse_units(json[i], item(path, i)));
  return side;
}

HopSelection parse_hop(const Json& json, const std::string& path) {
  // One selector is both sides; a list is always [SRC, BASE].
  if (json.is_null() || is_selector(json) || (json.is_object() && (json.contains("h") || json.contains("pos")))) {
    return {std::nullopt, parse_side(json, path)};
  }
  if (!json.is_array() || json.size() != 2) fail(path, "one position for both sides, or [SRC, BASE]", json);
  return {parse_side(json[0], item(path, 0)), parse_side(json[1], item(path, 1))};
}

}  // namespace

Locations Locations::parse(std::string_view text) {
  const std::string root = "unit_locations";
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    throw ConfigError(root + ": " + json_problem(error.what()));
  }
  Locations locations;
  if (json.is_null()) return locations;
  if (!json.is_object()) fail(root, "null or an object such as {\"base\": 3}", json);
  if (depth(json) > 8) fail(root, "lists at most 4 deep", json);
  if (json.contains("base")) {
    if (json.contains("sources->base"))
      throw ConfigError(root + ": 'base' and 'sources->base' are two ways to say one thing; give one");
    locations.hops["sources->base"] = {std::nullopt, parse_side(json["base"], root + ".base")};
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "base") continue;
    const std::string path = root + "[\"" + key + "\"]";
    if (key.find("->") == std::string::npos) {
      throw ConfigError(root + ": unknown key '" + key + "'" +
                        name_hint(key, {"base", "sources->base", "source_0->base", "source_0->source_1"}));
    }
    locations.hops[key] = parse_hop(value, path);
  }
  return locations;
}

}  // namespace vene
