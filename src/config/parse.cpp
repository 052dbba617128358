// SPDX-License-Identifier: Apache-2.0
#include "src/config/parse.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "src/base/at_place.h"
#include "src/base/readable.h"
#include "src/config/fields.h"
#include "src/config/json_value.h"
#include "src/interventions/field_names.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using detail::FieldInfo;
using detail::item;
using detail::Json;
using detail::JsonReader;
using detail::OrderedJson;
using detail::Problems;
using detail::representation_fields;

// Of the config files that this version writes and reads.
constexpr std::int64_t kFormatVersion = 1;

// That the partitions of one config may name together; no model has as many.
constexpr std::int64_t kMostColumns = std::int64_t{1} << 24;

// Keys of pyvene up to 0.0.6, and what they are called since.
const std::vector<std::pair<std::string, std::string>> kOldestKeys{
    {"intervenable_representations", "representations"},
    {"intervenable_interventions_type", "intervention_types"},
    {"intervenable_model_type", "model_type"}};

// pyvene's tuples had eight entries up to 0.0.6, later thirteen, and fourteen now; a shorter list leaves the rest to
// the defaults.
constexpr std::size_t kPositionalFields = 14;
const std::vector<std::string> kOldestFields{"layer",
                                             "component",
                                             "unit",
                                             "max_number_of_units",
                                             "low_rank_dimension",
                                             "subspace_partition",
                                             "group_key",
                                             "intervention_link_key"};

OptionValue read_option(const OptionInfo& option, const JsonReader& value) {
  const std::string expected = option_type_name(option.type);
  switch (option.type) {
    case OptionType::kBool:
      if (!value.json().is_boolean()) value.expected(expected);
      return value.boolean();
    case OptionType::kInteger:
      return value.integer(expected);
    case OptionType::kNumber:
      return value.number(expected);
    case OptionType::kString:
      return value.text(expected);
    case OptionType::kTensor:
      break;
  }
  return detail::tensor_from_json(value);
}

// A positional list of pyvene as an object with field names; null where it is none.
Json named_fields(const JsonReader& list, Problems& problems) {
  std::vector<std::string> names(detail::kFieldNames.begin(), detail::kFieldNames.begin() + kPositionalFields);
  const std::size_t count = list.json().size();
  const bool names_type = count == kOldestFields.size() && list.json()[5].is_string();  // which is newer than they are
  if (count == kOldestFields.size() && !names_type) {
    names = kOldestFields;
  } else if (count == 0 || count > names.size()) {
    problems.add(list.path(), "a positional representation has 1 to 14 entries, layer and component first, got " +
                                  std::to_string(count));
    return nullptr;
  }
  Json object = Json::object();
  for (std::size_t i = 0; i < count; ++i) object[names[i]] = list.json()[i];
  return object;
}

void read_options(JsonReader& given, const InterventionInfo& info, RepresentationConfig& into, Problems& problems) {
  for (const OptionInfo& option : info.options) {
    if (const auto value = given.given(option.name)) {
      problems.collect([&] { into.options[option.name] = read_option(option, *value); });
    } else if (!option.default_value) {
      problems.add(given.path(),
                   "intervention '" + info.name + "' needs the option '" + option.name + "': " + option.doc);
    }
  }
  std::vector<std::string> known;
  for (const FieldInfo& field : representation_fields()) known.push_back(field.name);
  for (const OptionInfo& option : info.options) known.push_back(option.name);
  for (const auto& [key, value] : given.json().items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      problems.add(given.path(), "unknown field '" + shortened(key) + "'" + name_hint(key, known));
  }
}

// `type` is what the config says for this representation; the representation's own wins.
RepresentationConfig read_representation(JsonReader json, const std::string& type, const InterventionRegistry& registry,
                                         Problems& problems) {
  RepresentationConfig representation;
  const Json named = json.json().is_array() ? named_fields(json, problems) : Json();
  JsonReader given(json.json().is_array() ? named : json.json(), json.path());
  if (given.json().is_null()) return representation;
  if (!given.json().is_object()) {
    problems.collect(
        [&] { given.expected("a representation: an object such as {\"layer\": 0, \"component\": \"block_output\"}"); });
    return representation;
  }
  for (const FieldInfo& field : representation_fields()) {
    if (const auto value = given.find(field.name)) problems.collect([&] { field.read(*value, representation); });
  }
  const std::string chosen = !representation.intervention_type.empty() ? representation.intervention_type
                             : type.empty()                            ? "vanilla"
                                                                       : type;
  const InterventionInfo* info = registry.find(chosen);
  if (info != nullptr) {
    if (!representation.intervention_type.empty()) representation.intervention_type = info->name;
    read_options(given, *info, representation, problems);
  } else if (!representation.intervention_type.empty()) {
    // A type given for the whole config is reported where it stands.
    problems.add(given.path() + ".intervention_type",
                 "unknown intervention type '" + shortened(chosen) + "'" + name_hint(chosen, registry.names()));
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

// A member of the config, null too, under its name or the one that it had in pyvene up to 0.0.6.
std::optional<JsonReader> member(JsonReader& config, const std::string& name) {
  std::optional<JsonReader> found = config.given(name);
  for (const auto& [old, current] : kOldestKeys) {
    if (found || current != name || !config.has("intervenable_representations")) continue;
    found = config.given(old);
  }
  return found;
}

void check_keys(const JsonReader& config, Problems& problems) {
  const bool oldest = config.has("intervenable_representations");
  std::vector<std::string> known = config_keys();
  for (const auto& [old, name] : kOldestKeys) {
    if (!oldest) break;
    known.push_back(old);
    if (config.has(old) && config.has(name))
      problems.add(old, "stands beside '" + name + "', which is its name in newer files; give one of them");
  }
  for (const auto& [key, value] : config.json().items()) {
    // Ready instances, which no file holds.
    if (oldest && key == "intervenable_interventions") continue;
    if (std::find(known.begin(), known.end(), key) == known.end())
      problems.add("", "unknown key '" + shortened(key) + "'" + name_hint(key, config_keys()));
  }
}

void read_types(const JsonReader& given, std::size_t count, const InterventionRegistry& registry,
                IntervenableConfig& config, Problems& problems) {
  if (given.json().is_null()) return;
  std::vector<JsonReader> list{given};
  if (given.json().is_array()) {
    list = given.each("a list");
    if (list.size() != count) {
      return problems.add(given.path(), "expected one for all, or one a representation (" + std::to_string(count) +
                                            "), got " + std::to_string(list.size()));
    }
  }
  for (const JsonReader& entry : list) {
    problems.collect([&] {
      const std::string name = entry.text("the name of an intervention");
      const InterventionInfo* info = registry.find(name);
      config.intervention_types.push_back(info != nullptr ? info->name : name);
      if (info == nullptr)
        entry.fail("unknown intervention type '" + shortened(name) + "'" + name_hint(name, registry.names()));
    });
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
  std::set<ConfigKey> seen;
  const ConfigKey* latest = nullptr;
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const ConfigKey& key = *config.representations[i].group_key;
    if (latest != nullptr && key == *latest) continue;
    const std::string path = "representations[" + std::to_string(i) + "].group_key";
    if (!seen.insert(key).second) return problems.add(path, "representations of one group must stand together");
    if (latest != nullptr && key.index() == 0 && latest->index() == 0 && std::get<0>(key) < std::get<0>(*latest)) {
      return problems.add(path, "group keys must ascend, as sources are given in their order");
    }
    latest = &key;
  }
}

void read_fingerprint(JsonReader& config, IntervenableConfig& into, Problems& problems) {
  std::optional<JsonReader> print = config.find("model_fingerprint");
  if (!print) return;
  const auto text = [&](const char* key) { return print->has(key) && print->at(key).json().is_string(); };
  const auto count = [&](const char* key) { return print->has(key) && print->at(key).is_integer(); };
  if (!text("architecture") || !text("weights") || !count("layers") || !count("hidden_size") || !count("vocabulary")) {
    return problems.collect([&] {
      print->expected("an object with architecture, layers, hidden_size, vocabulary and weights, as save writes it");
    });
  }
  into.model_fingerprint = ModelFingerprint{print->at("architecture").text(), print->at("layers").integer(),
                                            print->at("hidden_size").integer(), print->at("vocabulary").integer(),
                                            print->at("weights").text()};
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

// A list with one entry a representation.
template <class Read>
void read_list(JsonReader& config, const char* key, std::size_t count, Problems& problems, Read read) {
  const std::optional<JsonReader> list = config.find(key);
  if (!list) return;
  const std::string expected = "a list with one entry a representation (" + std::to_string(count) + ")";
  problems.collect([&] {
    const std::vector<JsonReader> entries = list->each(expected);
    if (entries.size() != count) list->expected(expected);
    for (const JsonReader& entry : entries) problems.collect([&] { read(entry); });
  });
}

// pyvene lists the latents of an autoencoder here; the tensors of its folder hold that list too.
std::optional<std::int64_t> read_dimension(const JsonReader& entry, const IntervenableConfig& config,
                                           std::size_t index) {
  const std::string& own = config.representations[index].intervention_type;
  const std::string type = own.empty() ? type_for(config.intervention_types, index) : own;
  const bool latents =
      type == "autoencoder" && entry.json().is_array() &&
      std::all_of(entry.json().begin(), entry.json().end(), [](const Json& one) { return one.is_number_integer(); });
  if (latents && config.sorted_keys.empty())
    entry.expected("a positive integer or null (latents are named in the representation's option 'latents')");
  if (entry.json().is_null() || latents) return std::nullopt;
  return entry.integer("a positive integer or null", 1);
}

void read_members(JsonReader& json, IntervenableConfig& config, Problems& problems) {
  if (const auto mode = json.find("mode")) {
    problems.collect([&] {
      (void)mode->text("\"parallel\" or \"serial\"");
      config.mode = mode->one_of("mode", {"parallel", "serial"}) == 1 ? Mode::kSerial : Mode::kParallel;
    });
  }
  if (const auto type = member(json, "model_type"); type && !type->json().is_null())
    problems.collect([&] { config.model_type = type->text(); });
  const std::size_t count = config.representations.size();
  read_list(json, "sorted_keys", count, problems,
            [&](const JsonReader& entry) { config.sorted_keys.push_back(entry.text("a representation's key")); });
  std::size_t index = 0;
  read_list(json, "intervention_dimensions", count, problems, [&](const JsonReader& entry) {
    config.intervention_dimensions.push_back(read_dimension(entry, config, index++));
  });
  read_list(json, "intervention_constant_sources", count, problems,
            [&](const JsonReader& entry) { config.intervention_constant_sources.push_back(entry.boolean()); });
}

// A file of a later version may mean anything: nothing else of it is reported.
void check_version(JsonReader& json, Problems& problems) {
  const auto version = json.given("format_version");
  if (!version) return;
  problems.collect([&] { (void)version->integer(); });
  if (!version->is_integer() || version->integer() <= kFormatVersion) return;
  problems.add("format_version", "this file has version " + std::to_string(version->integer()) + ", this vene (" +
                                     build_info().version + ") reads up to " + std::to_string(kFormatVersion));
  problems.raise();
}

std::int64_t columns_of(const SubspacePartition& partition) {
  std::int64_t columns = 0;
  for (const SubspacePart& part : partition) columns += static_cast<std::int64_t>(part.size());
  return columns;
}

void read_representations(const std::vector<JsonReader>& list, const InterventionRegistry& registry,
                          IntervenableConfig& config, Problems& problems) {
  std::int64_t columns = 0;
  config.representations.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    config.representations.push_back(
        read_representation(list[i], type_for(config.intervention_types, i), registry, problems));
    columns += columns_of(config.representations.back().subspace_partition);
    if (columns > kMostColumns) {
      problems.add(list[i].path() + ".subspace_partition", "the parts up to here name " + std::to_string(columns) +
                                                               " columns, expected at most " +
                                                               std::to_string(kMostColumns) + " in one config");
      problems.raise();
    }
  }
}

// Whether an object is a config, and no lone representation.
bool is_config(const Json& json) {
  return std::any_of(json.items().begin(), json.items().end(), [](const auto& entry) {
    return std::find(config_keys().begin(), config_keys().end(), entry.key()) != config_keys().end() ||
           entry.key() == "intervenable_representations";
  });
}

}  // namespace

IntervenableConfig detail::parse_config(const Json& json, const InterventionRegistry& registry,
                                        const std::string& folder) {
  Problems problems;
  IntervenableConfig config;
  JsonReader root = JsonReader::root(json, "");
  const std::string path = "representations";
  std::vector<JsonReader> list;
  if (json.is_object() && is_config(json)) {
    const std::optional<JsonReader> given = member(root, path);
    if (!given) root.fail("'representations' is missing");
    check_keys(root, problems);
    check_version(root, problems);
    const bool positional = given->json().is_array() && !given->json().empty() && given->json().front().is_number();
    if (given->json().is_array() && !positional) list = given->each("a list");
    if (given->json().is_object() || positional) list.emplace_back(given->json(), item(path, 0));
    if (list.empty()) JsonReader(given->json(), path).expected("at least one representation");
    for (std::size_t i = 0; i < list.size(); ++i) list[i] = JsonReader(list[i].json(), item(path, i));
    if (const auto types = member(root, "intervention_types"))
      read_types(JsonReader(types->json(), "intervention_types"), list.size(), registry, config, problems);
  } else if (json.is_array() && !json.empty() && !json.front().is_number()) {
    list = JsonReader(json, path).each("a list");
  } else if (json.is_object() || (json.is_array() && !json.empty())) {
    list.emplace_back(json, item(path, 0));  // a lone one, an object or positional
  } else if (json.is_array()) {
    JsonReader(json, path).expected("at least one representation");
  } else {
    JsonReader(json, "config")
        .expected("an object with \"representations\", a list of representations, or one representation");
  }
  read_representations(list, registry, config, problems);
  if (is_config(json)) {
    read_members(root, config, problems);
    read_fingerprint(root, config, problems);
  }
  look_up_files(config, registry, folder);
  check_groups(config, problems);
  problems.raise();
  return config;
}

IntervenableConfig IntervenableConfig::parse(std::string_view text, const InterventionRegistry& registry,
                                             const std::string& folder) {
  return detail::parse_config(detail::read_json<ConfigError>(text, ""), registry, folder);
}

IntervenableConfig IntervenableConfig::load(const std::string& path, const InterventionRegistry& registry) {
  std::error_code ignored;  // what cannot be looked at cannot be read either, which says why
  const bool folder = std::filesystem::is_directory(path, ignored);
  const std::string file = folder ? (std::filesystem::path(path) / "config.json").string() : path;
  const std::string text = io::read_file(file);
  return detail::at_place(file,
                          [&] { return parse(text, registry, std::filesystem::path(file).parent_path().string()); });
}

detail::OrderedJson detail::config_json(const IntervenableConfig& config) {
  OrderedJson json;
  json["vene_version"] = build_info().version;
  json["format_version"] = kFormatVersion;
  if (!config.model_type.empty()) json["model_type"] = config.model_type;
  json["mode"] = config.mode == Mode::kSerial ? "serial" : "parallel";
  if (config.intervention_types.size() == 1) {
    json["intervention_types"] = config.intervention_types[0];
  } else if (!config.intervention_types.empty()) {
    json["intervention_types"] = config.intervention_types;
  }
  json["representations"] = OrderedJson::array();
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    if (representation.intervention) {
      throw ConfigError("representations[" + std::to_string(i) +
                        "]: a ready intervention (a lambda, say) cannot be written as JSON; register it under a name");
    }
    OrderedJson entry;
    for (const FieldInfo& field : representation_fields()) {
      if (Json value = field.write(representation); !value.is_null()) entry[field.name] = OrderedJson(value);
    }
    for (const auto& [name, value] : representation.options) {
      entry[name] = std::visit(
          [](const auto& held) -> OrderedJson {
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
  if (!config.sorted_keys.empty()) json["sorted_keys"] = config.sorted_keys;
  if (!config.intervention_dimensions.empty()) {
    for (const auto& dimension : config.intervention_dimensions)
      json["intervention_dimensions"].push_back(dimension ? OrderedJson(*dimension) : OrderedJson());
  }
  if (!config.intervention_constant_sources.empty())
    json["intervention_constant_sources"] = config.intervention_constant_sources;
  if (config.model_fingerprint) {
    const ModelFingerprint& print = *config.model_fingerprint;
    json["model_fingerprint"] = {{"architecture", print.architecture},
                                 {"layers", print.layers},
                                 {"hidden_size", print.hidden_size},
                                 {"vocabulary", print.vocabulary},
                                 {"weights", print.weights}};
  }
  return json;
}

std::string IntervenableConfig::to_json(int indent) const {
  return detail::written_json(detail::config_json(*this), indent);
}

}  // namespace vene
