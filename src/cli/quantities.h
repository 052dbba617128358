// SPDX-License-Identifier: Apache-2.0
// Layers, positions and sizes as they stand on a command line.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vene::cli {

/// "2", "2-5", "1,4-6"; "all" is none. False for what is none of them.
bool read_layers(const std::string& text, std::vector<std::int64_t>& into);
/// "all" is none, "first" is 0, "last" is -1, or integers joined by commas; nothing for what is none of them.
std::optional<std::vector<std::int64_t>> read_positions(const std::string& text);
/// "500000", "64MB", "1GiB" in bytes; nothing for what is none of them, or none at all.
std::optional<std::int64_t> read_bytes(const std::string& text);

}  // namespace vene::cli
