// SPDX-License-Identifier: Apache-2.0
#include "src/cli/quantities.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace vene::cli {

bool read_layers(const std::string& text, std::vector<std::int64_t>& into) {
  into.clear();
  if (text == "all") return true;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    const std::size_t dash = part.find('-');
    const std::string first = part.substr(0, dash), last = dash == std::string::npos ? first : part.substr(dash + 1);
    for (const std::string& digits : {first, last}) {
      if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos)
        return false;
    }
    if (std::stoll(last) < std::stoll(first)) return false;
    for (std::int64_t layer = std::stoll(first); layer <= std::stoll(last); ++layer) into.push_back(layer);
    at = comma + 1;
  }
  return true;
}

std::optional<std::vector<std::int64_t>> read_positions(const std::string& text) {
  if (text == "all") return std::vector<std::int64_t>{};
  if (text == "first") return std::vector<std::int64_t>{0};
  if (text == "last") return std::vector<std::int64_t>{-1};
  std::vector<std::int64_t> positions;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    const std::string digits = part.starts_with('-') ? part.substr(1) : part;
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    positions.push_back(std::stoll(part));
    at = comma + 1;
  }
  return positions;
}

std::optional<std::int64_t> read_bytes(const std::string& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == 0 || end > 12) return std::nullopt;
  std::int64_t size = std::stoll(text.substr(0, end));
  const std::string unit = text.substr(end);
  const std::vector<std::pair<std::string, std::int64_t>> units{
      {"", 1}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  for (const auto& [name, bytes] : units) {
    if (unit == name && size > 0 && size < (std::int64_t{1} << 47) / bytes) return size * bytes;
  }
  return std::nullopt;
}

}  // namespace vene::cli
