// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <set>

#include "src/config/fields.h"
#include "src/config/json_value.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using detail::FieldInfo;
using detail::json_text;
using detail::Problems;
using detail::representation_fields;
using Json = nlohmann::json;

// Of the config files that this version writes and reads.
constexpr std::int64_t kFormatVersion = 1;

// pyvene's tuples had eight entries up to 0.0.6, later thirteen, and fourteen now.
constexpr std::size_t kPositionalFields = 14;
const std::vector<std::string> kOldestFields{"layer",
                                             "component",
                                             "unit",
                                             "max_number_of_units",
                                             "low_rank_dimension",
                                             "subspace_partition",
                                             "group_key",
                                             "intervention_link_key"};

void read_option(const OptionInfo& option, const Json& value, const std::string& path, RepresentationConfig& into,
                 Problems& problems) {
  auto bad = [&] { problems.expected(path, option_type_name(option.type), value); };
  switch (option.type) {
    case OptionType::kBool:
      if (!value.is_boolean()) return bad();
      into.options[option.name] = value.get<bool>();
      return;
    case OptionType::kInteger:
      if (!value.is_number_integer()) return bad();
      into.options[option.name] = value.get<std::int64_t>();
      return;
    case OptionType::kNumber:
      if (!value.is_number()) return bad();
      into.options[option.name] = value.get<double>();
      return;
    case OptionType::kString:
      if (!value.is_string()) return bad();
      into.options[option.name] = value.get<std::string>();
      return;
    case OptionType::kTensor:
      try {
        into.options[option.name] = detail::tensor_from_json(value, path);
      } catch (const ConfigError& error) {
        problems.add("", error.what());
      }
  }
}

// A positional list of pyvene as an object with field names.
Json named_fields(const Json& list, const std::string& path, Problems& problems) {
  std::vector<std::string> names;
  for (const FieldInfo& field : representation_fields()) names.push_back(field.name);
  names.resize(kPositionalFields);
  if (list.size() == kOldestFields.size()) {
    names = kOldestFields;
  } else if (list.size() != names.size() && list.size() != names.size() - 1) {
    problems.add(path, "a positional representation has 8, 13 or 14 entries, got " + std::to_string(list.size()));
    return nullptr;
  }
  Json object = Json::object();
  for (std::size_t i = 0; i < list.size(); ++i) object[names[i]] = list[i];
  return object;
}

// `type` is what the config says for this representation; the representation's own wins.
RepresentationConfig read_representation(Json json, const std::string& path, const std::string& type,
                                         const InterventionRegistry& registry, Problems& problems) {
  RepresentationConfig representation;
  if (json.is_array()) json = named_fields(json, path, problems);
  if (json.is_null()) return representation;
  if (!json.is_object()) {
    problems.expected(path, "a representation: an object such as {\"layer\": 0, \"component\": \"block_output\"}",
                      json);
    return representation;
  }
  const auto& fields = representation_fields();
  for (const FieldInfo& field : fields) {
    const auto found = json.find(field.name);
    if (found != json.end() && !found->is_null()) field.read(*found, path + "." + field.name, representation, problems);
  }
  const std::string chosen = !representation.intervention_type.empty() ? representation.intervention_type
                             : type.empty()                            ? "vanilla"
                                                                       : type;
  const InterventionInfo* info = registry.find(chosen);
  if (info == nullptr) {
    // A type given for the whole config is reported where it stands.
    if (!representation.intervention_type.empty()) {
      problems.add(path + ".intervention_type",
                   "unknown intervention type '" + chosen + "'" + name_hint(chosen, registry.names()));
    }
  } else if (!representation.intervention_type.empty()) {
    representation.intervention_type = info->name;
  }
  std::vector<std::string> known;
  for (const FieldInfo& field : fields) known.push_back(field.name);
  const std::vector<OptionInfo> options = info != nullptr ? info->options : std::vector<OptionInfo>{};
  for (const OptionInfo& option : options) known.push_back(option.name);
  for (const auto& [key, value] : json.items()) {
    const auto option =
        std::find_if(options.begin(), options.end(), [&, &name = key](const OptionInfo& o) { return o.name == name; });
    if (option != options.end()) {
      read_option(*option, value, path + "." + key, representation, problems);
    } else if (std::find(known.begin(), known.end(), key) == known.end() && info != nullptr) {
      problems.add(path, "unknown field '" + key + "'" + name_hint(key, known));
    }
  }
  for (const OptionInfo& option : options) {
    if (!option.default_value && !json.contains(option.name))
      problems.add(path, "intervention '" + info->name + "' needs the option '" + option.name + "': " + option.doc);
  }
  return representation;
}

const std::vector<std::string>& config_keys() {
  static const std::vector<std::string> kKeys{"representations",
                                              "intervention_types",
                                              "mode",
                                              "model_type",
                                              "sorted_keys",
                                              "intervention_dimensions",
                                              "intervention_constant_sources",
                                              "model_fingerprint",
                                              "vene_version",
                                              "format_version",
                                              "saved",
                                              "transformers_version"};
  return kKeys;
}

// The config of pyvene up to 0.0.6 under the keys that it has had since.
void rename_oldest_keys(Json& json, Problems& problems) {
  if (!json.is_object() || !json.contains("intervenable_representations")) return;
  const std::pair<const char*, const char*> names[]{{"intervenable_representations", "representations"},
                                                    {"intervenable_interventions_type", "intervention_types"},
                                                    {"intervenable_model_type", "model_type"}};
  for (const auto& [old, name] : names) {
    const auto found = json.find(old);
    if (found == json.end()) continue;
    if (json.contains(name))
      problems.add(old,
                   std::string("stands beside '") + name + "', which is its name in newer files; give one of them");
    json[name] = *found;
    json.erase(old);
  }
  // Ready instances, which no file holds.
  json.erase("intervenable_interventions");
}

void read_types(const Json& json, std::size_t count, const InterventionRegistry& registry, IntervenableConfig& config,
                Problems& problems) {
  const std::string path = "intervention_types";
  if (json.is_null()) return;
  const Json list = json.is_array() ? json : Json::array({json});
  if (json.is_array() && list.size() != count) {
    problems.add(path, "expected one for all, or one a representation (" + std::to_string(count) + "), got " +
                           std::to_string(list.size()));
    return;
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string here = json.is_array() ? path + "[" + std::to_string(i) + "]" : path;
    if (!list[i].is_string()) {
      problems.expected(here, "the name of an intervention", list[i]);
      continue;
    }
    const std::string name = list[i].get<std::string>();
    const InterventionInfo* info = registry.find(name);
    if (info == nullptr)
      problems.add(here, "unknown intervention type '" + name + "'" + name_hint(name, registry.names()));
    config.intervention_types.push_back(info != nullptr ? info->name : name);
  }
}

// Of the types for the whole config, whose list may be too short where it has problems.
std::string type_for(const std::vector<std::string>& types, std::size_t i) {
  return types.size() == 1 ? types[0] : i < types.size() ? types[i] : "";
}

// What pyvene demands of group keys: all or none, and in order.
void check_groups(const IntervenableConfig& config, Problems& problems) {
  std::size_t with = 0;
  for (const auto& representation : config.representations) with += representation.group_key.has_value() ? 1 : 0;
  if (with == 0) return;
  if (with != config.representations.size())
    return problems.add("representations", "either every representation has a group_key or none has");
  std::vector<ConfigKey> seen;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const ConfigKey& key = *config.representations[i].group_key;
    if (!seen.empty() && key == seen.back()) continue;
    const std::string path = "representations[" + std::to_string(i) + "].group_key";
    if (std::find(seen.begin(), seen.end(), key) != seen.end())
      return problems.add(path, "representations of one group must stand together");
    if (!seen.empty() && key.index() == 0 && seen.back().index() == 0 && std::get<0>(key) < std::get<0>(seen.back())) {
      return problems.add(path, "group keys must ascend, as sources are given in their order");
    }
    seen.push_back(key);
  }
}

void read_fingerprint(const Json& json, IntervenableConfig& config, Problems& problems) {
  const auto found = json.find("model_fingerprint");
  if (found == json.end() || found->is_null()) return;
  auto is = [&](const char* key, bool (Json::*test)() const noexcept) {
    return found->contains(key) && ((*found)[key].*test)();
  };
  if (!found->is_object() || !is("architecture", &Json::is_string) || !is("weights", &Json::is_string) ||
      !is("layers", &Json::is_number_integer) || !is("hidden_size", &Json::is_number_integer) ||
      !is("vocabulary", &Json::is_number_integer)) {
    return problems.expected(
        "model_fingerprint",
        "an object with architecture, layers, hidden_size, vocabulary and weights, as save writes it", *found);
  }
  config.model_fingerprint = ModelFingerprint{(*found)["architecture"], (*found)["layers"], (*found)["hidden_size"],
                                              (*found)["vocabulary"], (*found)["weights"]};
}

void look_up_files(IntervenableConfig& config, const InterventionRegistry& registry, const std::string& folder) {
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    RepresentationConfig& representation = config.representations[i];
    const std::string type = representation.intervention_type.empty() ? type_for(config.intervention_types, i)
                                                                      : representation.intervention_type;
    const InterventionInfo* info = registry.find(type);
    if (info == nullptr) continue;
    for (const OptionInfo& option : info->options) {
      const auto found = representation.options.find(option.name);
      if (!option.is_path || found == representation.options.end()) continue;
      std::string& path = std::get<std::string>(found->second);
      if (!path.empty()) path = (std::filesystem::path(folder) / path).string();
    }
  }
}

template <class Read>
void read_list(const Json& root, const char* key, std::size_t count, Problems& problems, Read read) {
  const auto found = root.find(key);
  if (found == root.end() || found->is_null()) return;
  if (!found->is_array() || found->size() != count)
    return problems.expected(key, "a list with one entry a representation (" + std::to_string(count) + ")", *found);
  for (std::size_t i = 0; i < count; ++i) read((*found)[i], std::string(key) + "[" + std::to_string(i) + "]");
}

}  // namespace

IntervenableConfig IntervenableConfig::parse(std::string_view text, const InterventionRegistry& registry,
                                             const std::string& folder) {
  Json json = detail::parse_json(text);
  Problems problems;
  IntervenableConfig config;
  // Shorthands: a list of representations, or one.
  const bool lone_positional = json.is_array() && !json.empty() && json.front().is_number();
  if (lone_positional) json = Json::array({json});
  if (json.is_array()) json = Json{{"representations", json}};
  if (json.is_object() && !json.contains("representations") && !json.contains("intervenable_representations")) {
    const auto& keys = config_keys();
    const bool is_config = std::any_of(json.items().begin(), json.items().end(), [&](const auto& item) {
      return std::find(keys.begin(), keys.end(), item.key()) != keys.end();
    });
    if (is_config) {
      problems.add("", "'representations' is missing");
      problems.raise();
    }
    json = Json{{"representations", Json::array({json})}};
  }
  if (!json.is_object()) {
    problems.expected("config", "an object with \"representations\", a list of representations, or one representation",
                      json);
    problems.raise();
  }
  rename_oldest_keys(json, problems);
  for (const auto& [key, value] : json.items()) {
    if (std::find(config_keys().begin(), config_keys().end(), key) == config_keys().end())
      problems.add("", "unknown key '" + key + "'" + name_hint(key, config_keys()));
  }
  if (const auto found = json.find("format_version"); found != json.end()) {
    if (!found->is_number_integer()) {
      problems.expected("format_version", "an integer", *found);
    } else if (found->get<std::int64_t>() > kFormatVersion) {
      problems.add("format_version", "this file has version " + std::to_string(found->get<std::int64_t>()) +
                                         ", this vene (" + build_info().version + ") reads up to " +
                                         std::to_string(kFormatVersion));
      problems.raise();
    }
  }
  Json representations = json["representations"];
  if (representations.is_object()) representations = Json::array({representations});
  if (!representations.is_array() || representations.empty()) {
    problems.expected("representations", "at least one representation", representations);
    problems.raise();
  }
  if (json.contains("intervention_types"))
    read_types(json["intervention_types"], representations.size(), registry, config, problems);
  for (std::size_t i = 0; i < representations.size(); ++i) {
    const std::string type = type_for(config.intervention_types, i);
    config.representations.push_back(read_representation(
        representations[i], "representations[" + std::to_string(i) + "]", type, registry, problems));
  }
  if (const auto found = json.find("mode"); found != json.end() && !found->is_null()) {
    if (!found->is_string()) {
      problems.expected("mode", "\"parallel\" or \"serial\"", *found);
    } else if (*found == "serial") {
      config.mode = Mode::kSerial;
    } else if (*found != "parallel") {
      problems.add("mode", "unknown mode '" + found->get<std::string>() + "'" +
                               name_hint(found->get<std::string>(), {"parallel", "serial"}));
    }
  }
  if (const auto found = json.find("model_type"); found != json.end() && !found->is_null()) {
    found->is_string() ? void(config.model_type = found->get<std::string>())
                       : problems.expected("model_type", "a text", *found);
  }
  const std::size_t count = config.representations.size();
  read_list(json, "sorted_keys", count, problems, [&](const Json& entry, const std::string& path) {
    entry.is_string() ? config.sorted_keys.push_back(entry.get<std::string>())
                      : problems.expected(path, "a representation's key", entry);
  });
  std::size_t index = 0;
  read_list(json, "intervention_dimensions", count, problems, [&](const Json& entry, const std::string& path) {
    // pyvene lists the latents of an autoencoder here; the tensors of its folder hold that list too.
    const std::string& own = config.representations[index].intervention_type;
    const std::string type = own.empty() ? type_for(config.intervention_types, index) : own;
    ++index;
    const bool latents =
        type == "autoencoder" && entry.is_array() &&
        std::all_of(entry.begin(), entry.end(), [](const Json& latent) { return latent.is_number_integer(); });
    if (latents && config.sorted_keys.empty()) {
      problems.expected(path, "a positive integer or null (latents are named in the representation's option 'latents')",
                        entry);
    } else if (entry.is_null() || latents) {
      config.intervention_dimensions.emplace_back();
    } else if (entry.is_number_integer() && entry.get<std::int64_t>() > 0) {
      config.intervention_dimensions.emplace_back(entry.get<std::int64_t>());
    } else {
      problems.expected(path, "a positive integer or null", entry);
    }
  });
  read_list(json, "intervention_constant_sources", count, problems, [&](const Json& entry, const std::string& path) {
    entry.is_boolean() ? config.intervention_constant_sources.push_back(entry.get<bool>())
                       : problems.expected(path, "true or false", entry);
  });
  look_up_files(config, registry, folder);
  read_fingerprint(json, config, problems);
  check_groups(config, problems);
  problems.raise();
  return config;
}

IntervenableConfig IntervenableConfig::load(const std::string& path, const InterventionRegistry& registry) {
  const std::string file =
      std::filesystem::is_directory(path) ? (std::filesystem::path(path) / "config.json").string() : path;
  try {
    return parse(io::read_file(file), registry, std::filesystem::path(file).parent_path().string());
  } catch (const ConfigError& error) {
    throw ConfigError(file + ": " + error.what());
  }
}

std::string IntervenableConfig::to_json(int indent) const {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  json["format_version"] = kFormatVersion;
  if (!model_type.empty()) json["model_type"] = model_type;
  json["mode"] = mode == Mode::kSerial ? "serial" : "parallel";
  if (intervention_types.size() == 1) {
    json["intervention_types"] = intervention_types[0];
  } else if (!intervention_types.empty()) {
    json["intervention_types"] = intervention_types;
  }
  json["representations"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < representations.size(); ++i) {
    const RepresentationConfig& representation = representations[i];
    if (representation.intervention) {
      throw ConfigError("representations[" + std::to_string(i) +
                        "]: a ready intervention (a lambda, say) cannot be written as JSON; register it under a name");
    }
    nlohmann::ordered_json entry;
    for (const FieldInfo& field : representation_fields()) {
      if (Json value = field.write(representation); !value.is_null()) entry[field.name] = nlohmann::ordered_json(value);
    }
    for (const auto& [name, value] : representation.options) {
      entry[name] = std::visit(
          [](const auto& held) -> nlohmann::ordered_json {
            if constexpr (std::is_same_v<std::decay_t<decltype(held)>, torch::Tensor>) {
              return detail::tensor_to_json(held);
            } else {
              return held;
            }
          },
          value);
    }
    json["representations"].push_back(entry);
  }
  if (!sorted_keys.empty()) json["sorted_keys"] = sorted_keys;
  if (!intervention_dimensions.empty()) {
    for (const auto& dimension : intervention_dimensions)
      json["intervention_dimensions"].push_back(dimension ? nlohmann::ordered_json(*dimension)
                                                          : nlohmann::ordered_json());
  }
  if (!intervention_constant_sources.empty()) json["intervention_constant_sources"] = intervention_constant_sources;
  if (model_fingerprint) {
    const ModelFingerprint& print = *model_fingerprint;
    json["model_fingerprint"] = {{"architecture", print.architecture},
                                 {"layers", print.layers},
                                 {"hidden_size", print.hidden_size},
                                 {"vocabulary", print.vocabulary},
                                 {"weights", print.weights}};
  }
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace vene
