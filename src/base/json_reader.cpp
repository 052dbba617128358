// SPDX-License-Identifier: Apache-2.0
#include "src/base/json_reader.h"

#include <algorithm>

#include "src/base/readable.h"
#include "vene/base/names.h"

namespace vene::detail {

std::string item(const std::string& path, std::size_t i) {
  return path + "[" + std::to_string(i) + "]";
}

JsonReader JsonReader::root(const Json& json, std::string name) {
  JsonReader reader(json, std::move(name));
  reader.prefix_.clear();
  return reader;
}

void JsonReader::fail(const std::string& problem) const {
  throw ConfigError(path_.empty() ? problem : path_ + ": " + problem);
}

void JsonReader::expected(const std::string& what) const {
  fail("expected " + what + ", got " + json_text(*json_));
}

void JsonReader::expect_object(const std::string& such_as) const {
  if (!json_->is_object()) expected("an object" + (such_as.empty() ? "" : " such as " + such_as));
}

std::optional<JsonReader> JsonReader::given(const std::string& key) {
  known_.push_back(key);
  if (!json_->is_object()) return std::nullopt;
  const auto found = json_->find(key);
  if (found == json_->end()) return std::nullopt;
  return JsonReader(*found, prefix_.empty() ? key : prefix_ + "." + key);
}

std::optional<JsonReader> JsonReader::find(const std::string& key) {
  std::optional<JsonReader> member = given(key);
  return member && !member->json().is_null() ? member : std::nullopt;
}

JsonReader JsonReader::at(const std::string& key) {
  if (std::optional<JsonReader> member = given(key)) return *member;
  fail("'" + key + "' is missing");
}

void JsonReader::refuse_others(const std::vector<std::string>& known) const {
  for (const auto& [key, value] : json_->items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail("unknown key '" + shortened(key) + "'" + name_hint(key, known));
  }
}

std::vector<JsonReader> JsonReader::each(const std::string& expected) const {
  if (!json_->is_array()) this->expected(expected);
  std::vector<JsonReader> entries;
  entries.reserve(json_->size());
  for (std::size_t i = 0; i < json_->size(); ++i) entries.emplace_back((*json_)[i], item(path_, i));
  return entries;
}

std::vector<std::int64_t> JsonReader::integers(const std::string& list, const std::string& entry) const {
  if (!json_->is_array() || json_->empty()) expected(list);
  std::vector<std::int64_t> numbers;
  numbers.reserve(json_->size());
  for (std::size_t i = 0; i < json_->size(); ++i) {
    const Json& number = (*json_)[i];
    if (!number.is_number_integer() || (number.is_number_unsigned() && number.get<std::uint64_t>() > INT64_MAX))
      JsonReader(number, item(path_, i)).expected(entry);
    numbers.push_back(number.get<std::int64_t>());
  }
  return numbers;
}

bool JsonReader::is_integer() const {
  return json_->is_number_integer() && (!json_->is_number_unsigned() || json_->get<std::uint64_t>() <= INT64_MAX);
}

std::int64_t JsonReader::integer(const std::string& expected, std::int64_t least, std::int64_t most) const {
  if (!is_integer()) this->expected(expected);
  const auto value = json_->get<std::int64_t>();
  if (value < least || value > most) this->expected(expected);
  return value;
}

double JsonReader::number(const std::string& expected) const {
  if (!json_->is_number()) this->expected(expected);
  return json_->get<double>();
}

bool JsonReader::boolean() const {
  if (!json_->is_boolean()) expected("true or false");
  return json_->get<bool>();
}

std::string JsonReader::text(const std::string& expected) const {
  if (!json_->is_string()) this->expected(expected);
  return json_->get<std::string>();
}

std::string JsonReader::some_text(const std::string& expected) const {
  std::string value = text(expected);
  if (value.empty()) this->expected(expected);
  return value;
}

std::size_t JsonReader::one_of(const std::string& kind, const std::vector<std::string>& names,
                               const std::string& further) const {
  const std::string came = json_->is_string() ? json_->get<std::string>() : json_text(*json_);
  const auto found = json_->is_string() ? std::find(names.begin(), names.end(), came) : names.end();
  if (found == names.end()) fail("unknown " + kind + " '" + shortened(came) + "'" + name_hint(came, names) + further);
  return static_cast<std::size_t>(found - names.begin());
}

void JsonReader::read(const std::string& key, std::int64_t& into) {
  if (const auto member = find(key)) into = member->integer();
}

void JsonReader::read(const std::string& key, double& into) {
  if (const auto member = find(key)) into = member->number();
}

void JsonReader::read(const std::string& key, bool& into) {
  if (const auto member = find(key)) into = member->boolean();
}

void JsonReader::read(const std::string& key, std::vector<std::int64_t>& into, const std::string& expected) {
  const auto member = find(key);
  if (!member) return;
  if (!member->json().is_array()) {
    into.push_back(member->integer(expected));
  } else if (!member->json().empty()) {
    into = member->integers(expected, expected);
  }
}

void JsonReader::read(const std::string& key, std::vector<std::string>& into, const std::string& expected) {
  const auto member = find(key);
  if (!member) return;
  if (!member->json().is_array()) {
    into.push_back(member->text(expected));
  } else {
    for (const JsonReader& entry : member->each(expected)) into.push_back(entry.text(expected));
  }
}

void Problems::raise() const {
  constexpr std::size_t kShown = 100;
  if (lines_.empty()) return;
  std::vector<std::string> shown(lines_.begin(),
                                 lines_.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, lines_.size())));
  if (lines_.size() > kShown) shown.push_back("and " + std::to_string(lines_.size() - kShown) + " further problems");
  throw ConfigError(join(shown, "\n"));
}

}  // namespace vene::detail
