// SPDX-License-Identifier: Apache-2.0
#include "models/common/config_reader.h"

#include <nlohmann/json.hpp>

#include "src/base/json_problem.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::models {

struct ConfigReader::Data {
  nlohmann::json json;
};

namespace {

[[noreturn]] void wrong(const std::string& where, const std::string& field, const std::string& expected, const nlohmann::json& came) {
  std::string text = came.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 60);
  throw ModelError(where + ": field '" + field + "': expected " + expected + ", got " + text);
}

}  // namespace

ConfigReader ConfigReader::read(const std::string& path) {
  auto data = std::make_shared<Data>();
  try {
    data->json = nlohmann::json::parse(io::read_file(path));
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(path + ": " + json_problem(error.what()));
  }
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

std::int64_t ConfigReader::integer(const std::string& field) const {
  if (!has(field)) throw ModelError(where_ + ": field '" + field + "' is missing");
  const nlohmann::json& value = data_->json[field];
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (!value.is_number_integer() || value.get<double>() > static_cast<double>(kMost) || value.get<double>() < -static_cast<double>(kMost)) {
    wrong(where_, field, "an integer", value);
  }
  return value.get<std::int64_t>();
}

std::int64_t ConfigReader::integer(const std::string& field, std::int64_t otherwise) const { return has(field) ? integer(field) : otherwise; }

double ConfigReader::number(const std::string& field, double otherwise) const {
  if (!has(field)) return otherwise;
  if (!data_->json[field].is_number()) wrong(where_, field, "a number", data_->json[field]);
  return data_->json[field].get<double>();
}

bool ConfigReader::boolean(const std::string& field, bool otherwise) const {
  if (!has(field)) return otherwise;
  if (!data_->json[field].is_boolean()) wrong(where_, field, "true or false", data_->json[field]);
  return data_->json[field].get<bool>();
}

std::string ConfigReader::text(const std::string& field) const {
  if (!has(field)) throw ModelError(where_ + ": field '" + field + "' is missing");
  if (!data_->json[field].is_string()) wrong(where_, field, "a text", data_->json[field]);
  return data_->json[field].get<std::string>();
}

std::string ConfigReader::text(const std::string& field, const std::string& otherwise) const { return has(field) ? text(field) : otherwise; }

std::optional<ConfigReader> ConfigReader::object(const std::string& field) const {
  if (!has(field)) return std::nullopt;
  if (!data_->json[field].is_object()) wrong(where_, field, "an object", data_->json[field]);
  ConfigReader reader;
  reader.data_ = std::make_shared<Data>(Data{data_->json[field]});
  reader.where_ = where_ + ", " + field;
  return reader;
}

std::vector<std::string> ConfigReader::texts(const std::string& field) const {
  std::vector<std::string> list;
  if (!has(field)) return list;
  const nlohmann::json& value = data_->json[field];
  if (!value.is_array()) wrong(where_, field, "a list of texts", value);
  for (const auto& entry : value) {
    if (!entry.is_string()) wrong(where_, field, "a list of texts", value);
    list.push_back(entry.get<std::string>());
  }
  return list;
}

}  // namespace vene::models
