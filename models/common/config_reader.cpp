// SPDX-License-Identifier: Apache-2.0
#include "models/common/config_reader.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "src/base/json.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::models {

using detail::Json;

struct ConfigReader::Data {
  Json json;
  mutable std::set<std::string> read;  // fields that were asked for

  const Json* ask(const std::string& field) const {
    read.insert(field);
    const auto found = json.find(field);
    return found != json.end() && !found->is_null() ? &*found : nullptr;
  }
};

namespace {

std::string short_text(const Json& value) {
  return detail::json_text(value, 60);
}

[[noreturn]] void wrong(const std::string& where, const std::string& field, const std::string& expected,
                        const Json* came) {
  if (came == nullptr) throw ModelError(where + ": field '" + field + "' is missing");
  throw ModelError(where + ": field '" + field + "': expected " + expected + ", got " + short_text(*came));
}

}  // namespace

ConfigReader ConfigReader::read(const std::string& path) {
  auto data = std::make_shared<Data>();
  // Python's json writes Infinity into some of them.
  data->json = detail::read_json<ModelError>(io::read_file(path), path, detail::NonFinite::kRead);
  if (!data->json.is_object()) throw ModelError(path + ": expected a JSON object");
  ConfigReader reader;
  reader.data_ = std::move(data);
  reader.where_ = path;
  return reader;
}

bool ConfigReader::has(const std::string& field) const {
  const auto found = data_->json.find(field);
  return found != data_->json.end() && !found->is_null();
}

bool ConfigReader::is_null(const std::string& field) const {
  const auto found = data_->json.find(field);
  return found != data_->json.end() && found->is_null();
}

std::int64_t ConfigReader::integer(const std::string& field) const {
  const Json* value = data_->ask(field);
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (value == nullptr || !value->is_number_integer() || std::abs(value->get<double>()) > static_cast<double>(kMost)) {
    wrong(where_, field, "an integer", value);
  }
  return value->get<std::int64_t>();
}

std::int64_t ConfigReader::integer(const std::string& field, std::int64_t otherwise) const {
  return data_->ask(field) != nullptr ? integer(field) : otherwise;
}

double ConfigReader::number(const std::string& field) const {
  const Json* value = data_->ask(field);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>()))
    wrong(where_, field, "a number", value);
  return value->get<double>();
}

double ConfigReader::number(const std::string& field, double otherwise) const {
  return data_->ask(field) != nullptr ? number(field) : otherwise;
}

double ConfigReader::positive(const std::string& field) const {
  const double value = number(field);
  if (!(value > 0)) wrong(where_, field, "a positive number", data_->ask(field));
  return value;
}

bool ConfigReader::boolean(const std::string& field, bool otherwise) const {
  const Json* value = data_->ask(field);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) wrong(where_, field, "true or false", value);
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& field) const {
  const Json* value = data_->ask(field);
  if (value == nullptr || !value->is_string()) wrong(where_, field, "a text", value);
  return value->get<std::string>();
}

std::string ConfigReader::text(const std::string& field, const std::string& otherwise) const {
  return data_->ask(field) != nullptr ? text(field) : otherwise;
}

std::optional<ConfigReader> ConfigReader::object(const std::string& field) const {
  const Json* value = data_->ask(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) wrong(where_, field, "an object", value);
  ConfigReader reader;
  reader.data_ = std::make_shared<Data>(Data{*value, {}});
  reader.where_ = where_ + ", " + field;
  return reader;
}

std::vector<double> ConfigReader::numbers(const std::string& field) const {
  const Json* value = data_->ask(field);
  const auto finite = [](const Json& item) { return item.is_number() && std::isfinite(item.get<double>()); };
  if (value == nullptr || !value->is_array() || !std::all_of(value->begin(), value->end(), finite))
    wrong(where_, field, "a list of numbers", value);
  return value->get<std::vector<double>>();
}

std::vector<std::string> ConfigReader::texts(const std::string& field) const {
  std::vector<std::string> list;
  const Json* value = data_->ask(field);
  if (value == nullptr) return list;
  if (!value->is_array()) wrong(where_, field, "a list of texts", value);
  for (const auto& entry : *value) {
    if (!entry.is_string()) wrong(where_, field, "a list of texts", value);
    list.push_back(entry.get<std::string>());
  }
  return list;
}

std::vector<std::string> ConfigReader::repeated_texts(const std::string& field) const {
  std::vector<std::string> list;
  const Json* value = data_->ask(field);
  if (value == nullptr) return list;
  constexpr const char* kExpected = "a list of [texts, times]";
  constexpr std::size_t kMost = 100000;
  if (!value->is_array()) wrong(where_, field, kExpected, value);
  for (const auto& entry : *value) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_array() || !entry[1].is_number_unsigned() ||
        entry[1] > kMost)
      wrong(where_, field, kExpected, value);
    for (std::size_t i = 0; i < entry[1].get<std::size_t>(); ++i) {
      for (const auto& text : entry[0]) {
        if (!text.is_string() || list.size() == kMost) wrong(where_, field, kExpected, value);
        list.push_back(text.get<std::string>());
      }
    }
  }
  return list;
}

std::optional<std::string> ConfigReader::unread(const std::string& field) const {
  if (!has(field) || data_->read.contains(field)) return std::nullopt;
  return short_text(data_->json.at(field));
}

}  // namespace vene::models
