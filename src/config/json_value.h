// SPDX-License-Identifier: Apache-2.0
// What every reader of JSON in the library shares. Private: nlohmann's types stay out of public headers.
#pragma once
#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace vene::detail {

/// Parses text; refuses keys given twice and nesting deeper than 64. Throws ConfigError with line and column.
nlohmann::json parse_json(std::string_view text);
/// A value for an error message, cut to 80 characters.
std::string json_text(const nlohmann::json& value);
/// A number or a rectangular nested list of numbers as a float32 tensor. Throws ConfigError with the path of what is
/// wrong.
torch::Tensor tensor_from_json(const nlohmann::json& value, const std::string& path);

}  // namespace vene::detail
