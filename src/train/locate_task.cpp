// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "src/base/at_place.h"
#include "src/base/json_reader.h"
#include "src/base/readable.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"
#include "vene/train/locate.h"

namespace vene {
namespace {

using detail::Json;
using detail::json_text;
using detail::JsonReader;

const std::string kPlace = "[name]";

JsonReader member(JsonReader& root, const std::string& key, const std::string& expected) {
  if (const auto found = root.given(key)) return *found;
  throw ConfigError(key + ": is missing; expected " + expected);
}

std::string read_template(const JsonReader& json) {
  std::string read = json.some_text();
  const std::size_t place = read.find(kPlace);
  if (place == std::string::npos) json.expected("a text with [name] in it, such as \"[name] walked because\"");
  if (read.find(kPlace, place + 1) != std::string::npos)
    json.fail("[name] stands in it twice, expected once: " + json_text(json.json()));
  return read;
}

std::vector<std::string> read_names(const JsonReader& json, std::map<std::string, std::string>& seen) {
  std::vector<std::string> names;
  for (const JsonReader& entry : json.each("a list of names")) {
    names.push_back(entry.some_text());
    const auto [first, fresh] = seen.emplace(names.back(), entry.path());
    if (!fresh) entry.fail("the name '" + shortened(names.back()) + "' is already at " + first->second);
  }
  if (names.size() < 2)
    json.fail("expected at least two names, one to train on and one to test on, got " + std::to_string(names.size()));
  return names;
}

LocateTask read_task(const Json& json) {
  JsonReader root = JsonReader::root(json, "");
  if (!json.is_object()) root.expected("an object with template, classes and answers");
  root.refuse_others({"template", "classes", "answers"});
  LocateTask task;
  task.text = read_template(member(root, "template", "a text with [name] in it"));
  JsonReader classes = member(root, "classes", "an object that gives each class's names");
  JsonReader answers = member(root, "answers", "an object that gives each class's answer");
  if (!classes.json().is_object() || classes.json().size() < 2) classes.expected("an object of at least two classes");
  if (!answers.json().is_object()) answers.expected("an object with an answer for each class");
  std::map<std::string, std::string> seen;
  std::vector<std::string> names;
  for (const auto& [name, list] : classes.json().items()) {
    names.push_back(name);
    const auto answer = answers.given(name);
    if (!answer) {
      throw ConfigError("answers." + shortened(name) +
                        ": is missing; expected the token that goes on from the template for the class '" +
                        shortened(name) + "'");
    }
    task.classes.push_back({name, answer->some_text(), read_names(classes.at(name), seen)});
  }
  for (const auto& [name, answer] : answers.json().items()) {
    if (!classes.has(name)) answers.fail("there is no class '" + shortened(name) + "'" + name_hint(name, names));
  }
  return task;
}

}  // namespace

LocateTask LocateTask::parse(std::string_view json) {
  return read_task(detail::read_json<ConfigError>(json, ""));
}

LocateTask LocateTask::load(const std::string& path) {
  const std::string text = io::read_file(path);
  return detail::at_place("'" + path + "'", [&] { return parse(text); });
}

}  // namespace vene
