// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace vene::detail {

/// Bytes of memory that this process may have in all: the machine's, or less where its control group is bounded.
std::int64_t machine_memory();
/// Bytes of it that are free by now, as far as the system says; machine_memory() where it does not.
std::int64_t free_memory();
/// "8.59 GB"
std::string bytes_text(double bytes);

}  // namespace vene::detail
