// SPDX-License-Identifier: Apache-2.0
#include "src/config/fields.h"

#include "src/config/json_value.h"
#include "src/config/when.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

using Json = nlohmann::json;

Json type(const char* name) {
  return {{"type", name}};
}

std::optional<std::int64_t> integer(const Json& value, const std::string& path, std::int64_t least,
                                    Problems& problems) {
  if (value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX) &&
      value.get<std::int64_t>() >= least) {
    return value.get<std::int64_t>();
  }
  problems.expected(path, "an integer of at least " + std::to_string(least), value);
  return std::nullopt;
}

std::optional<ConfigKey> key(const Json& value, const std::string& path, Problems& problems) {
  if (value.is_number_integer()) return ConfigKey(value.get<std::int64_t>());
  if (value.is_string()) return ConfigKey(value.get<std::string>());
  problems.expected(path, "an integer or a name", value);
  return std::nullopt;
}

Json key_json(const std::optional<ConfigKey>& key) {
  if (!key) return nullptr;
  return std::visit([](const auto& value) { return Json(value); }, *key);
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

void read_partition(const Json& value, const std::string& path, RepresentationConfig& into, Problems& problems) {
  if (!value.is_array() || value.empty())
    return problems.expected(path, "a list of parts, each [begin, end] or a list of columns", value);
  SubspacePartition partition;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string here = path + "[" + std::to_string(i) + "]";
    const bool outright = value[i].is_object() && value[i].size() == 1 && value[i].contains("columns");
    const Json& columns = outright ? value[i]["columns"] : value[i];
    if (!columns.is_array() || columns.empty() ||
        !std::all_of(columns.begin(), columns.end(), [](const Json& c) { return c.is_number_integer(); })) {
      problems.expected(here, "[begin, end], a list of columns, or {\"columns\": [...]}", value[i]);
      continue;
    }
    std::vector<std::int64_t> part = columns.get<std::vector<std::int64_t>>();
    if (!outright && part.size() == 2) {
      const auto [begin, end] = std::pair(part[0], part[1]);
      if (begin < 0 || end <= begin || end > (std::int64_t{1} << 24)) {
        problems.expected(here, "a range [begin, end] with begin < end (two columns are {\"columns\": [a, b]})",
                          value[i]);
        continue;
      }
      part.clear();
      for (std::int64_t column = begin; column < end; ++column) part.push_back(column);
    }
    partition.push_back(std::move(part));
  }
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

std::vector<FieldInfo> make_fields() {
  const Json key_schema = {{"type", {"integer", "string", "null"}}};
  const Json count_schema = {{"type", {"integer", "null"}}, {"minimum", 1}};
  std::vector<FieldInfo> fields;
  fields.push_back({"layer",
                    {{"type", "integer"}, {"minimum", 0}},
                    "0",
                    "Which layer; counted from 0.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      if (const auto n = integer(v, p, 0, problems)) r.layer = *n;
                    },
                    [](const RepresentationConfig& r) { return Json(r.layer); }});
  fields.push_back({"component", type("string"), "\"block_output\"",
                    "A component name of the model (`vene sites`), or a module path ending in `.input` or `.output`.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      if (!v.is_string() || v.get<std::string>().empty())
                        return problems.expected(p, "a component name or path", v);
                      r.component = v.get<std::string>();
                    },
                    [](const RepresentationConfig& r) { return Json(r.component); }});
  fields.push_back({"unit",
                    {{"enum", {"pos", "h", "h.pos", "t"}}},
                    "\"pos\"",
                    "What locations pick: positions, heads, heads at positions, or time steps.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      const std::vector<std::string> units{"pos", "h", "h.pos", "t"};
                      if (!v.is_string()) return problems.expected(p, "a unit: pos, h, h.pos or t", v);
                      const std::string unit = v.get<std::string>();
                      if (std::find(units.begin(), units.end(), unit) == units.end())
                        return problems.add(p, "unknown unit '" + unit + "'" + name_hint(unit, units));
                      r.unit = unit;
                    },
                    [](const RepresentationConfig& r) { return Json(r.unit); }});
  fields.push_back({"max_number_of_units",
                    {{"type", "integer"}, {"minimum", 1}},
                    "1",
                    "Multiplies the width that learned interventions are built for.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      if (const auto n = integer(v, p, 1, problems)) r.max_number_of_units = *n;
                    },
                    [](const RepresentationConfig& r) { return Json(r.max_number_of_units); }});
  fields.push_back({"low_rank_dimension", count_schema, "null", "Rank of a low-rank rotation.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      r.low_rank_dimension = integer(v, p, 1, problems);
                    },
                    [](const RepresentationConfig& r) { return optional_json(r.low_rank_dimension); }});
  // intervention_type is read by the parser, which knows the registry; it stands here for its place in positional
  // lists.
  fields.push_back(
      {"intervention_type", type("string"), "the config's, else \"vanilla\"",
       "What is done: a registered intervention.",
       [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
         if (!v.is_string()) return problems.expected(p, "the name of an intervention", v);
         r.intervention_type = v.get<std::string>();
       },
       [](const RepresentationConfig& r) { return r.intervention_type.empty() ? Json() : Json(r.intervention_type); }});
  fields.push_back({"intervention", type("null"), "null", "A ready instance; set from C++ only.",
                    [](const Json&, const std::string& p, RepresentationConfig&, Problems& problems) {
                      problems.add(p, "a ready instance cannot be given in JSON; name its type in intervention_type");
                    },
                    [](const RepresentationConfig&) { return Json(); }});
  fields.push_back({"subspace_partition", partition_schema(), "null",
                    "Parts that subspaces are numbered by: `[begin, end]` is a range, any other list is columns, "
                    "`{\"columns\": [a, b]}` says so outright.",
                    read_partition, write_partition});
  fields.push_back({"group_key", key_schema, "null", "Representations with the same key read one source.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      r.group_key = key(v, p, problems);
                    },
                    [](const RepresentationConfig& r) { return key_json(r.group_key); }});
  fields.push_back({"intervention_link_key", key_schema, "null",
                    "Representations with the same key share one intervention and its parameters.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      r.intervention_link_key = key(v, p, problems);
                    },
                    [](const RepresentationConfig& r) { return key_json(r.intervention_link_key); }});
  fields.push_back({"moe_key", key_schema, "null", "Kept for pyvene's files.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      r.moe_key = key(v, p, problems);
                    },
                    [](const RepresentationConfig& r) { return key_json(r.moe_key); }});
  fields.push_back(
      {"source_representation",
       {{"type", {"array", "number", "null"}}},
       "null",
       "A constant source: a nested list of numbers, `[width]`, `[units, width]` or `[batch, units, width]`.",
       [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
         try {
           r.source_representation = tensor_from_json(v, p);
         } catch (const ConfigError& error) {
           problems.add("", error.what());
         }
       },
       [](const RepresentationConfig& r) {
         return r.source_representation.defined() ? tensor_to_json(r.source_representation) : Json();
       }});
  fields.push_back(
      {"hidden_source_representation",
       {{"type", {"boolean", "null"}}},
       "false",
       "The constant source is in the saved folder's tensors; written by save.",
       [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
         if (!v.is_boolean()) return problems.expected(p, "true or false", v);
         r.hidden_source_representation = v.get<bool>();
       },
       [](const RepresentationConfig& r) { return r.hidden_source_representation ? Json(true) : Json(); }});
  fields.push_back({"latent_dim", count_schema, "null", "Latent size of an autoencoder.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      r.latent_dim = integer(v, p, 1, problems);
                    },
                    [](const RepresentationConfig& r) { return optional_json(r.latent_dim); }});
  // Not pyvene's, so never part of a positional list.
  fields.push_back({"when", when_schema(), "null",
                    "In which passes of a generation it acts: `prompt`, `decode`, `both`, or `{\"steps\": [...]}`.",
                    [](const Json& v, const std::string& p, RepresentationConfig& r, Problems& problems) {
                      try {
                        r.when = when_from_json(v, p);
                      } catch (const ConfigError& error) {
                        problems.add("", error.what());
                      }
                    },
                    [](const RepresentationConfig& r) { return r.when ? when_to_json(*r.when) : Json(); }});
  return fields;
}

}  // namespace

void Problems::expected(const std::string& path, const std::string& expected, const Json& came) {
  add(path, "expected " + expected + ", got " + json_text(came));
}

void Problems::raise() const {
  if (any()) throw ConfigError(join(lines_, "\n"));
}

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
