// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/config/json_value.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {

/// The members of one object, each read where it is there and of the right kind.
class Fields {
 public:
  using Json = nlohmann::json;

  /// @param such_as  an example for the error message
  Fields(const Json& json, const std::string& path, const std::string& such_as) : json_(json), path_(path) {
    if (!json.is_object())
      throw ConfigError(path + ": expected an object such as " + such_as + ", got " + json_text(json));
  }
  const Json* find(const char* key) {
    known_.emplace_back(key);
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  [[noreturn]] void fail(const char* key, const std::string& expected, const Json& came) const {
    throw ConfigError(path_ + "." + key + ": expected " + expected + ", got " + json_text(came));
  }
  void read(const char* key, std::int64_t& into) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX))
      fail(key, "an integer", *value);
    into = value->get<std::int64_t>();
  }
  void read(const char* key, double& into) {
    if (const Json* value = find(key))
      value->is_number() ? void(into = value->get<double>()) : fail(key, "a number", *value);
  }
  void read(const char* key, bool& into) {
    if (const Json* value = find(key))
      value->is_boolean() ? void(into = value->get<bool>()) : fail(key, "true or false", *value);
  }
  // A lone entry or a list.
  template <class T, class Check>
  void read(const char* key, std::vector<T>& into, const char* expected, Check check) {
    const Json* value = find(key);
    if (value == nullptr) return;
    for (const Json& entry : value->is_array() ? *value : Json::array({*value})) {
      if (!check(entry)) fail(key, expected, entry);
      into.push_back(entry.get<T>());
    }
  }
  void refuse_others() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        throw ConfigError(path_ + ": unknown key '" + key + "'" + name_hint(key, known_));
    }
  }

 private:
  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace vene::detail
