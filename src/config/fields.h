// SPDX-License-Identifier: Apache-2.0
// The fields of a representation, in pyvene's on-disk order: parser, writer, schema and docs page all come from this
// table.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "src/base/json_reader.h"
#include "vene/config/intervenable_config.h"

namespace vene::detail {

struct FieldInfo {
  std::string name;
  Json schema;           ///< JSON schema of the value
  std::string fallback;  ///< the default, as text
  std::string doc;
  /// Reads a value that is not null. Throws ConfigError.
  std::function<void(const JsonReader& value, RepresentationConfig& into)> read;
  /// The value to write; null: leave it out.
  std::function<Json(const RepresentationConfig&)> write;
};

const std::vector<FieldInfo>& representation_fields();
Json tensor_to_json(const torch::Tensor& tensor);

}  // namespace vene::detail
