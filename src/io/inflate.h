// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vene::io {

/// Undoes deflate (RFC 1951), by zlib. Empty where the data is damaged, does not come to exactly `size` bytes, or is
/// beyond 4 GB.
std::optional<std::string> inflate(std::string_view data, std::size_t size);

}  // namespace vene::io
