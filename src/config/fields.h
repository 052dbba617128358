// SPDX-License-Identifier: Apache-2.0
// The fields of a representation, in pyvene's on-disk order: parser, writer, schema and docs page all come from this
// table.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vene/config/intervenable_config.h"

namespace vene::detail {

/// Problems found so far, each with its path; a parse goes on after one.
class Problems {
 public:
  void add(const std::string& path, const std::string& what) {
    lines_.push_back(path.empty() ? what : path + ": " + what);
  }
  void expected(const std::string& path, const std::string& expected, const nlohmann::json& came);
  bool any() const { return !lines_.empty(); }
  void raise() const;

 private:
  std::vector<std::string> lines_;
};

struct FieldInfo {
  std::string name;
  nlohmann::json schema;  ///< JSON schema of the value
  std::string fallback;   ///< the default, as text
  std::string doc;
  /// Reads a value that is not null.
  std::function<void(const nlohmann::json& value, const std::string& path, RepresentationConfig& into,
                     Problems& problems)>
      read;
  /// The value to write; null: leave it out.
  std::function<nlohmann::json(const RepresentationConfig&)> write;
};

const std::vector<FieldInfo>& representation_fields();
nlohmann::json tensor_to_json(const torch::Tensor& tensor);

}  // namespace vene::detail
