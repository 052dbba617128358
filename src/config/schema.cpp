// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "src/config/fields.h"

namespace vene {
namespace {

using Json = nlohmann::ordered_json;

Json option_schema(const OptionInfo& option) {
  Json schema;
  switch (option.type) {
    case OptionType::kBool:
      schema["type"] = "boolean";
      break;
    case OptionType::kInteger:
      schema["type"] = "integer";
      break;
    case OptionType::kNumber:
      schema["type"] = "number";
      break;
    case OptionType::kString:
      schema["type"] = "string";
      break;
    case OptionType::kTensor:
      schema["type"] = {"array", "number"};
      break;
  }
  schema["description"] = option.doc;
  if (option.default_value) {
    std::visit(
        [&](const auto& value) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, torch::Tensor>) schema["default"] = value;
        },
        *option.default_value);
  }
  return schema;
}

std::vector<const InterventionInfo*> all_of(const InterventionRegistry& registry) {
  std::vector<const InterventionInfo*> all;
  for (const std::string& name : registry.names()) all.push_back(&registry.at(name));
  return all;
}

}  // namespace

std::string config_schema(const InterventionRegistry& registry) {
  Json representation{{"type", "object"}, {"additionalProperties", false}};
  Json types = Json::array();
  Json cases = Json::array();
  for (const InterventionInfo* info : all_of(registry))
    types.push_back(Json{{"const", info->name}, {"description", info->doc}});
  for (const detail::FieldInfo& field : detail::representation_fields()) {
    Json schema(field.schema);
    if (field.name == "intervention_type") schema = Json{{"anyOf", types}};
    schema["description"] = field.doc;
    representation["properties"][field.name] = schema;
  }
  for (const InterventionInfo* info : all_of(registry)) {
    Json required = Json::array();
    for (const OptionInfo& option : info->options) {
      const Json schema = option_schema(option);
      const auto [property, is_new] = representation["properties"].emplace(std::string(option.name), Json(schema));
      // Of two interventions with other defaults, neither is the field's.
      if (!is_new && property->contains("default") && (*property)["default"] != schema.value("default", Json()))
        property->erase("default");
      if (!option.default_value) required.push_back(option.name);
    }
    if (required.empty()) continue;
    cases.push_back(Json{
        {"if", {{"properties", {{"intervention_type", {{"const", info->name}}}}}, {"required", {"intervention_type"}}}},
        {"then", {{"required", required}}}});
  }
  if (!cases.empty()) representation["allOf"] = cases;
  const Json one{{"$ref", "#/$defs/representation"}};
  const Json many{{"type", "array"}, {"minItems", 1}, {"items", one}};
  Json config{{"type", "object"}, {"required", {"representations"}}, {"additionalProperties", false}};
  config["properties"] = Json{
      {"representations", {{"anyOf", {one, many}}}},
      {"intervention_types", {{"anyOf", {{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}}}}},
      {"mode", {{"enum", {"parallel", "serial"}}, {"default", "parallel"}}},
      {"model_type", {{"type", {"string", "null"}}}},
      {"sorted_keys", {{"type", {"array", "null"}}}},
      {"intervention_dimensions", {{"type", {"array", "null"}}}},
      {"intervention_constant_sources", {{"type", {"array", "null"}}}},
      {"model_fingerprint", {{"type", {"object", "null"}}}},
      {"vene_version", {{"type", "string"}}},
      {"format_version", {{"type", "integer"}, {"maximum", 1}}},
      {"saved", {{"type", {"object", "null"}}}},
      {"transformers_version", {{"type", "string"}}}};
  Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "vene IntervenableConfig"}};
  schema["anyOf"] = Json::array({config, many, one});
  schema["$defs"]["representation"] = representation;
  return detail::written_json(schema);
}

std::string config_reference(const InterventionRegistry& registry) {
  std::ostringstream page;
  page << "# Config reference\n\n"
          "Printed by `vene schema --markdown`, from the tables that the parser uses.\n\n"
          "A config is an object with `representations` (one or a list), a bare list of representations, or one bare "
          "representation. Further keys:\n"
          "`intervention_types` (a name for all, or one a representation that names none of its own), `mode` "
          "(`parallel` or `serial`), and what saving\n"
          "writes: `model_type`, `sorted_keys`, `intervention_dimensions`, `intervention_constant_sources`, "
          "`model_fingerprint`, `vene_version`,\n"
          "`format_version`, `saved`, and `transformers_version` in pyvene's files.\n"
          "pyvene's saved configs are read: positional representations (`[2, \"mlp_output\"]` to all 14 entries, 8 as "
          "up to 0.0.6), and type strings such "
          "as\n"
          "`<class 'pyvene.models.interventions.VanillaIntervention'>`.\n\n"
          "## Fields of a representation\n\n| field | default | meaning |\n|---|---|---|\n";
  for (const detail::FieldInfo& field : detail::representation_fields())
    page << "| `" << field.name << "` | " << field.fallback << " | " << field.doc << " |\n";
  page << "\n## Interventions\n\n| name | what it does | options |\n|---|---|---|\n";
  for (const InterventionInfo* info : all_of(registry)) {
    page << "| `" << info->name << "` | " << info->doc << " | ";
    for (std::size_t i = 0; i < info->options.size(); ++i) {
      const OptionInfo& option = info->options[i];
      page << (i > 0 ? "; " : "") << "`" << option.name << "` (" << option_type_name(option.type);
      const Json schema = option_schema(option);
      if (schema.contains("default")) page << ", default " << detail::written_json(schema["default"], -1);
      page << "): " << option.doc;
    }
    page << " |\n";
  }
  return page.str();
}

}  // namespace vene
