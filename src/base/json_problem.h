// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace vene {

/// What the JSON library says, from the place on: "[json.exception.parse_error.101] parse error at line 2, column 5:
/// syntax error ..." becomes "not JSON: line 2, column 5: syntax error ...".
inline std::string json_problem(std::string_view message) {
  std::size_t begin = message.find("at line ");
  if (begin != std::string_view::npos) {
    begin += 3;
  } else if (begin = message.find("] "); begin != std::string_view::npos) {
    begin += 2;  // "[json.exception.out_of_range.406] number overflow parsing '1e999'"
  }
  return "not JSON: " + std::string(message.substr(begin == std::string_view::npos ? 0 : begin));
}

}  // namespace vene
