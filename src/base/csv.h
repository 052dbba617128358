// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace vene {

/// A field of a CSV table, quoted as RFC 4180 says where it must be.
inline std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string field = "\"";
  for (char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + "\"";
}

}  // namespace vene
