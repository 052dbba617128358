// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace vene {

/// What the JSON library says, from the place on: "[json.exception.parse_error.101] parse error at line 2, column 5:
/// syntax error ..." becomes "not JSON: line 2, column 5: syntax error ...".
inline std::string json_problem(std::string_view message) {
  const std::size_t place = message.find("at line ");
  return "not JSON: " + std::string(place == std::string_view::npos ? message : message.substr(place + 3));
}

}  // namespace vene
