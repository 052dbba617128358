// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vene::models {

/// Typed access to a config.json; every error names file and field. Keeps the JSON library out of the ports.
class ConfigReader {
 public:
  /// Reads and parses; IoError if there is no such file, ModelError if it is not a JSON object.
  static ConfigReader read(const std::string& path);

  bool has(const std::string& field) const;  ///< present and not null
  bool is_null(const std::string& field) const;
  std::int64_t integer(const std::string& field) const;
  std::int64_t integer(const std::string& field, std::int64_t otherwise) const;
  double number(const std::string& field) const;
  double number(const std::string& field, double otherwise) const;
  double positive(const std::string& field) const;  ///< a number above 0
  bool boolean(const std::string& field, bool otherwise) const;
  std::string text(const std::string& field) const;
  std::string text(const std::string& field, const std::string& otherwise) const;
  /// An object below this one; null or absent: empty.
  std::optional<ConfigReader> object(const std::string& field) const;
  std::vector<std::string> texts(const std::string& field) const;  ///< a list of texts; absent: empty
  std::vector<double> numbers(const std::string& field) const;     ///< a list of numbers
  /// A list of [texts, times], written out: [[["global", "local"], 2]] is global, local, global, local. Absent: empty.
  std::vector<std::string> repeated_texts(const std::string& field) const;
  /// The value, as JSON, of a field that is there and that nothing has asked for yet; else empty.
  std::optional<std::string> unread(const std::string& field) const;
  const std::string& where() const { return where_; }

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
  std::string where_;
};

}  // namespace vene::models
