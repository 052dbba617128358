// SPDX-License-Identifier: Apache-2.0
#include "src/interventions/room.h"

#include <new>

#include "src/base/memory.h"
#include "vene/base/error.h"

namespace vene::detail {

void need_room(const std::string& name, std::int64_t rows, std::int64_t columns, int copies) {
  constexpr std::int64_t kMostRows = std::int64_t{1} << 22;
  if (rows < 1 || columns < 1) return;  // is told of where it is known what they are
  const double bytes = 4.0 * copies * static_cast<double>(rows) * static_cast<double>(columns);
  if (bytes > static_cast<double>(free_memory())) throw std::bad_alloc();
  if (rows > kMostRows) {
    throw ConfigError(name + " is " + std::to_string(rows) + ", expected at most " + std::to_string(kMostRows) + " (" +
                      bytes_text(bytes) + " would be needed)");
  }
}

}  // namespace vene::detail
