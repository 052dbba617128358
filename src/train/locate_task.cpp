// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "src/config/json_value.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"
#include "vene/train/locate.h"

namespace vene {
namespace {

using Json = nlohmann::json;
using detail::json_text;

const std::string kPlace = "[name]";

const Json& field(const Json& root, const char* key, const char* expected) {
  const auto found = root.find(key);
  if (found == root.end()) throw ConfigError(std::string(key) + ": is missing; expected " + expected);
  return *found;
}

std::string read_text(const Json& json, const std::string& path) {
  if (!json.is_string() || json.get<std::string>().empty())
    throw ConfigError(path + ": expected a text, got " + json_text(json));
  return json.get<std::string>();
}

std::string read_template(const Json& root) {
  const std::string read = read_text(field(root, "template", "a text with [name] in it"), "template");
  const std::size_t place = read.find(kPlace);
  if (place == std::string::npos)
    throw ConfigError("template: expected a text with [name] in it, such as \"[name] walked because\", got " +
                      json_text(read));
  if (read.find(kPlace, place + 1) != std::string::npos)
    throw ConfigError("template: [name] stands in it twice, expected once: " + json_text(read));
  return read;
}

std::vector<std::string> read_names(const Json& json, const std::string& path,
                                    std::map<std::string, std::string>& seen) {
  if (!json.is_array()) throw ConfigError(path + ": expected a list of names, got " + json_text(json));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string here = path + "[" + std::to_string(i) + "]";
    names.push_back(read_text(json[i], here));
    const auto [first, fresh] = seen.emplace(names.back(), here);
    if (!fresh) throw ConfigError(here + ": the name '" + names.back() + "' is already at " + first->second);
  }
  if (names.size() < 2)
    throw ConfigError(path + ": expected at least two names, one to train on and one to test on, got " +
                      std::to_string(names.size()));
  return names;
}

}  // namespace

LocateTask LocateTask::parse(std::string_view json) {
  const Json root = detail::parse_json(json);
  if (!root.is_object())
    throw ConfigError("expected an object with template, classes and answers, got " + json_text(root));
  const std::vector<std::string> keys{"template", "classes", "answers"};
  for (const auto& [key, value] : root.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw ConfigError("unknown key '" + key + "'" + name_hint(key, keys));
  }
  LocateTask task;
  task.text = read_template(root);
  const Json& classes = field(root, "classes", "an object that gives each class's names");
  const Json& answers = field(root, "answers", "an object that gives each class's answer");
  if (!classes.is_object() || classes.size() < 2)
    throw ConfigError("classes: expected an object of at least two classes, got " + json_text(classes));
  if (!answers.is_object())
    throw ConfigError("answers: expected an object with an answer for each class, got " + json_text(answers));
  std::map<std::string, std::string> seen;
  std::vector<std::string> names;
  for (const auto& [name, list] : classes.items()) {
    names.push_back(name);
    if (!answers.contains(name))
      throw ConfigError("answers." + name +
                        ": is missing; expected the token that goes on from the template for the class '" + name + "'");
    task.classes.push_back(
        {name, read_text(answers[name], "answers." + name), read_names(list, "classes." + name, seen)});
  }
  for (const auto& [name, answer] : answers.items()) {
    if (!classes.contains(name))
      throw ConfigError("answers: there is no class '" + name + "'" + name_hint(name, names));
  }
  return task;
}

LocateTask LocateTask::load(const std::string& path) {
  const std::string text = io::read_file(path);
  try {
    return parse(text);
  } catch (const ConfigError& error) {
    throw ConfigError("'" + path + "': " + error.what());
  }
}

}  // namespace vene
