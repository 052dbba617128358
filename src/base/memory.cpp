// SPDX-License-Identifier: Apache-2.0
#include "src/base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>

namespace vene::detail {
namespace {

constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();

// A file of the kernel that holds one number; kUnknown where there is none, or no bound ("max").
std::int64_t number_in(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  return file >> number && number > 0 ? number : kUnknown;
}

// A line such as "MemAvailable:   12345 kB".
std::int64_t meminfo(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    std::int64_t kilobytes = 0;
    if (word == name && file >> kilobytes) return kilobytes * 1024;
  }
  return kUnknown;
}

}  // namespace

std::int64_t machine_memory() {
  const std::int64_t pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  const std::int64_t physical = pages > 0 && size > 0 ? pages * size : kUnknown;
  return std::min(
      {physical, number_in("/sys/fs/cgroup/memory.max"), number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
}

std::int64_t free_memory() {
  return std::min(meminfo("MemAvailable:"), machine_memory());
}

std::string bytes_text(double bytes) {
  const char* unit = bytes < 1e6 ? "kB" : bytes < 1e9 ? "MB" : bytes < 1e12 ? "GB" : "TB";
  const double in_unit = bytes / (bytes < 1e6 ? 1e3 : bytes < 1e9 ? 1e6 : bytes < 1e12 ? 1e9 : 1e12);
  char text[64];
  std::snprintf(text, sizeof text, in_unit < 1e6 ? "%.3g %s" : "%.2e %s", in_unit, unit);
  return text;
}

}  // namespace vene::detail
