// SPDX-License-Identifier: Apache-2.0
#include "src/config/fields.h"

#include "src/config/json_value.h"
#include "src/config/when.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

Json type(const char* name) {
  return {{"type", name}};
}

// A part that is spelt [begin, end] may not name more columns than any model has, nor may all parts together.
constexpr std::int64_t kMostColumns = std::int64_t{1} << 24;

std::int64_t integer(const JsonReader& value, std::int64_t least) {
  return value.integer("an integer of at least " + std::to_string(least), least);
}

ConfigKey key(const JsonReader& value) {
  if (value.is_integer()) return value.integer();
  if (value.json().is_string()) return value.text();
  value.expected("an integer or a name");
}

Json key_json(const std::optional<ConfigKey>& key) {
  if (!key) return nullptr;
  return std::visit([](const auto& value) { return Json(value); }, *key);
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

SubspacePart read_part(JsonReader value, std::int64_t room) {
  const bool outright = value.json().is_object() && value.json().size() == 1 && value.has("columns");
  const JsonReader columns = outright ? value.at("columns") : value;
  if (!columns.json().is_array() || columns.json().empty() ||
      !std::all_of(columns.json().begin(), columns.json().end(), [](const Json& c) { return c.is_number_integer(); }))
    value.expected("[begin, end], a list of columns, or {\"columns\": [...]}");
  SubspacePart part = columns.integers("a list of columns", "a column");
  if (!outright && part.size() == 2) {
    const auto [begin, end] = std::pair(part[0], part[1]);
    if (begin < 0 || end <= begin || end > kMostColumns)
      value.expected("a range [begin, end] with begin < end (two columns are {\"columns\": [a, b]})");
    if (end - begin > room) {
      value.fail("the parts up to here name more than " + std::to_string(kMostColumns) +
                 " columns, which no model has");
    }
    part.clear();
    for (std::int64_t column = begin; column < end; ++column) part.push_back(column);
  }
  return part;
}

void read_partition(const JsonReader& value, RepresentationConfig& into) {
  const std::string expected = "a list of parts, each [begin, end] or a list of columns";
  if (value.json().empty()) value.expected(expected);
  SubspacePartition partition;
  Problems problems;
  std::int64_t room = kMostColumns;
  for (const JsonReader& part : value.each(expected)) {
    problems.collect([&] {
      partition.push_back(read_part(part, room));
      room -= static_cast<std::int64_t>(partition.back().size());
    });
  }
  problems.raise();
  into.subspace_partition = std::move(partition);
}

Json write_partition(const RepresentationConfig& from) {
  if (from.subspace_partition.empty()) return nullptr;
  Json parts = Json::array();
  for (const SubspacePart& part : from.subspace_partition) {
    bool consecutive = !part.empty();
    for (std::size_t i = 1; i < part.size(); ++i) consecutive = consecutive && part[i] == part[i - 1] + 1;
    if (consecutive) {
      parts.push_back({part.front(), part.back() + 1});
    } else if (part.size() == 2) {
      parts.push_back({{"columns", part}});
    } else {
      parts.push_back(part);
    }
  }
  return parts;
}

Json partition_schema() {
  const Json columns = {{"type", "array"}, {"items", type("integer")}, {"minItems", 1}};
  return {{"type", "array"},
          {"minItems", 1},
          {"items",
           {{"anyOf",
             {columns, {{"type", "object"}, {"properties", {{"columns", columns}}}, {"required", {"columns"}}}}}}}};
}

void read_layer(const JsonReader& value, RepresentationConfig& into) {
  if (value.json().is_number()) {
    into.layer = integer(value, 0);
  } else if (value.json() == "all") {
    into.all_layers = true;
  } else {
    const std::string expected = "an integer of at least 0, a list of them, or \"all\"";
    if (!value.json().is_array() || value.json().empty()) value.expected(expected);
    for (const JsonReader& layer : value.each(expected)) {
      into.layers.push_back(integer(layer, 0));
      if (std::count(into.layers.begin(), into.layers.end(), into.layers.back()) > 1)
        layer.fail("layer " + std::to_string(into.layers.back()) + " is given twice");
    }
  }
}

Json write_layer(const RepresentationConfig& from) {
  if (from.all_layers) return "all";
  return from.layers.empty() ? Json(from.layer) : Json(from.layers);
}

void read_source_site(JsonReader value, RepresentationConfig& into) {
  value.expect_object("{\"layer\": 3, \"component\": \"block_output\"}");
  value.refuse_others({"layer", "component"});
  SourceSite site;
  if (const auto layer = value.find("layer")) site.layer = integer(*layer, 0);
  if (const auto component = value.find("component")) site.component = component->some_text("a component name or path");
  if (!site.layer && !site.component) value.expected("a layer, a component, or both");
  into.source_site = site;
}

Json write_source_site(const RepresentationConfig& from) {
  if (!from.source_site) return nullptr;
  Json json = Json::object();
  if (from.source_site->layer) json["layer"] = *from.source_site->layer;
  if (from.source_site->component) json["component"] = *from.source_site->component;
  return json;
}

std::vector<FieldInfo> make_fields() {
  const Json key_schema = {{"type", {"integer", "string", "null"}}};
  const Json layer_schema = {{"type", "integer"}, {"minimum", 0}};
  const Json count_schema = {{"type", {"integer", "null"}}, {"minimum", 1}};
  std::vector<FieldInfo> fields;
  fields.push_back(
      {"layer",
       {{"anyOf", {layer_schema, {{"type", "array"}, {"items", layer_schema}, {"minItems", 1}}, {{"const", "all"}}}}},
       "0",
       "Which layer, counted from 0; a list, or \"all\", makes a representation of each.",
       read_layer,
       write_layer});
  fields.push_back(
      {"component", type("string"), "\"block_output\"",
       "A component name of the model (`vene sites`), or a module path ending in `.input` or `.output`; with `*`s, "
       "which "
       "stand for any letters, each that fits is a representation.",
       [](const JsonReader& v, RepresentationConfig& r) { r.component = v.some_text("a component name or path"); },
       [](const RepresentationConfig& r) { return Json(r.component); }});
  fields.push_back({"unit",
                    {{"enum", {"pos", "h", "h.pos", "t"}}},
                    "\"pos\"",
                    "What locations pick: positions, heads, heads at positions, or time steps.",
                    [](const JsonReader& v, RepresentationConfig& r) {
                      const std::vector<std::string> units{"pos", "h", "h.pos", "t"};
                      (void)v.text("a unit: pos, h, h.pos or t");
                      r.unit = units[v.one_of("unit", units)];
                    },
                    [](const RepresentationConfig& r) { return Json(r.unit); }});
  fields.push_back({"max_number_of_units",
                    {{"type", "integer"}, {"minimum", 1}},
                    "1",
                    "Multiplies the width that learned interventions are built for.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.max_number_of_units = integer(v, 1); },
                    [](const RepresentationConfig& r) { return Json(r.max_number_of_units); }});
  fields.push_back({"low_rank_dimension", count_schema, "null", "Rank of a low-rank rotation.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.low_rank_dimension = integer(v, 1); },
                    [](const RepresentationConfig& r) { return optional_json(r.low_rank_dimension); }});
  // intervention_type is read by the parser, which knows the registry; it stands here for its place in positional
  // lists.
  fields.push_back(
      {"intervention_type", type("string"), "the config's, else \"vanilla\"",
       "What is done: a registered intervention.",
       [](const JsonReader& v, RepresentationConfig& r) {
         r.intervention_type = v.text("the name of an intervention");
       },
       [](const RepresentationConfig& r) { return r.intervention_type.empty() ? Json() : Json(r.intervention_type); }});
  fields.push_back({"intervention", type("null"), "null", "A ready instance; set from C++ only.",
                    [](const JsonReader& v, RepresentationConfig&) {
                      v.fail("a ready instance cannot be given in JSON; name its type in intervention_type");
                    },
                    [](const RepresentationConfig&) { return Json(); }});
  fields.push_back({"subspace_partition", partition_schema(), "null",
                    "Parts that subspaces are numbered by: `[begin, end]` is a range, any other list is columns, "
                    "`{\"columns\": [a, b]}` says so outright.",
                    read_partition, write_partition});
  fields.push_back({"group_key", key_schema, "null", "Representations with the same key read one source.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.group_key = key(v); },
                    [](const RepresentationConfig& r) { return key_json(r.group_key); }});
  fields.push_back({"intervention_link_key", key_schema, "null",
                    "Representations with the same key share one intervention and its parameters.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.intervention_link_key = key(v); },
                    [](const RepresentationConfig& r) { return key_json(r.intervention_link_key); }});
  fields.push_back(
      {"moe_key", key_schema, "null",
       "Which expert; kept for pyvene's files, as no model here has experts: it is refused where it is set.",
       [](const JsonReader& v, RepresentationConfig& r) { r.moe_key = key(v); },
       [](const RepresentationConfig& r) { return key_json(r.moe_key); }});
  fields.push_back(
      {"source_representation",
       {{"type", {"array", "number", "string", "object", "null"}}},
       "null",
       "A constant source: a nested list of numbers, `[width]`, `[units, width]` or `[batch, units, width]`; one "
       "number "
       "for all of them, `\"zeros\"`, or, beside a model, `{\"embedding_of\": \" happy\", \"scale\": 0.3}`.",
       [](const JsonReader& v, RepresentationConfig& r) { r.source_representation = constant_from_json(v); },
       [](const RepresentationConfig& r) {
         return r.source_representation.defined() ? tensor_to_json(r.source_representation) : Json();
       }});
  fields.push_back(
      {"hidden_source_representation",
       {{"type", {"boolean", "null"}}},
       "false",
       "The constant source is in the saved folder's tensors; written by save.",
       [](const JsonReader& v, RepresentationConfig& r) { r.hidden_source_representation = v.boolean(); },
       [](const RepresentationConfig& r) { return r.hidden_source_representation ? Json(true) : Json(); }});
  fields.push_back({"latent_dim", count_schema, "null", "Latent size of an autoencoder.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.latent_dim = integer(v, 1); },
                    [](const RepresentationConfig& r) { return optional_json(r.latent_dim); }});
  // Not pyvene's, so never part of a positional list.
  fields.push_back({"when", when_schema(), "null",
                    "In which passes of a generation it acts: `prompt`, `decode`, `both`, or `{\"steps\": [...]}`.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.when = when_from_json(v); },
                    [](const RepresentationConfig& r) { return r.when ? when_to_json(*r.when) : Json(); }});
  fields.push_back({"source_site",
                    {{"type", {"object", "null"}},
                     {"properties", {{"layer", layer_schema}, {"component", type("string")}}},
                     {"additionalProperties", false}},
                    "null",
                    "Where the source is read, if not where it is written: `{\"layer\": 3, \"component\": "
                    "\"block_output\"}`; what is left out is the representation's own.",
                    read_source_site,
                    write_source_site});
  fields.push_back({"also_original", type("boolean"), "false",
                    "Of one that collects: also what the model holds there without interventions.",
                    [](const JsonReader& v, RepresentationConfig& r) { r.also_original = v.boolean(); },
                    [](const RepresentationConfig& r) { return r.also_original ? Json(true) : Json(); }});
  // What an intervention of pyvene is told by keyword. Read behind max_number_of_units, which it overrules.
  fields.push_back(
      {"keep_last_dim", type("boolean"), "false",
       "pyvene's word for units that are not joined into one wide value: `true` is `max_number_of_units` 1.",
       [](const JsonReader& v, RepresentationConfig& r) {
         if (v.boolean()) r.max_number_of_units = 1;
       },
       [](const RepresentationConfig&) { return Json(); }});
  return fields;
}

}  // namespace

Json tensor_to_json(const torch::Tensor& tensor) {
  const torch::Tensor value = tensor.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  if (value.dim() == 0) return value.item<double>();
  Json list = Json::array();
  for (std::int64_t i = 0; i < value.size(0); ++i) list.push_back(tensor_to_json(value[i]));
  return list;
}

const std::vector<FieldInfo>& representation_fields() {
  static const std::vector<FieldInfo> kFields = make_fields();
  return kFields;
}

}  // namespace vene::detail
