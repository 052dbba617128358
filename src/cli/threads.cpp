// SPDX-License-Identifier: Apache-2.0
#include "src/cli/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace vene::cli {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Two processors of one core do a matrix product no faster than one.
int physical_cores(const std::string& root, const std::vector<int>& processors) {
  std::set<std::string> cores;
  for (const int processor : processors) {
    const std::string folder = root + "/sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/";
    const std::string siblings = first_line(folder + "thread_siblings_list");
    cores.insert(siblings.empty() ? "processor " + std::to_string(processor) : siblings);
  }
  return static_cast<int>(cores.size());
}

double quotient(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// "max 100000" or "200000 100000"; no file is no limit.
double limit_of_version_2(const std::string& folder) {
  std::istringstream line(first_line(folder + "/cpu.max"));
  double quota = 0, period = 0;
  return line >> quota >> period ? quotient(quota, period) : INFINITY;
}

double limit_of_version_1(const std::string& folder) {
  std::istringstream quota_line(first_line(folder + "/cpu.cfs_quota_us")),
      period_line(first_line(folder + "/cpu.cfs_period_us"));
  double quota = 0, period = 0;
  return quota_line >> quota && period_line >> period ? quotient(quota, period) : INFINITY;
}

// The least over a control group and those around it: each may have a limit.
template <class Limit>
double least(const std::string& mount, std::string group, Limit limit) {
  double most = limit(mount);
  for (; !group.empty() && group != "/"; group.resize(group.rfind('/'))) most = std::min(most, limit(mount + group));
  return most;
}

// Processors' worth of time that a container's limits leave.
double time_limit(const std::string& root) {
  double limit = INFINITY;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b", or "4:cpu,cpuacct:/a/b"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (group.empty() || group.front() != '/') continue;
    if (controllers == ",,") limit = std::min(limit, least(root + "/sys/fs/cgroup", group, limit_of_version_2));
    if (controllers.find(",cpu,") != std::string::npos)
      limit = std::min(limit, least(root + "/sys/fs/cgroup/cpu", group, limit_of_version_1));
  }
  return limit;
}

}  // namespace

int useful_threads(const std::string& root, const std::vector<int>& processors) {
  const double limit = time_limit(root);
  const int cores = std::max(1, physical_cores(root, processors));
  return std::isfinite(limit) ? std::clamp(static_cast<int>(std::ceil(limit)), 1, cores) : cores;
}

int useful_threads() {
  std::vector<int> processors;
  // As large as the machine needs it: more processors than cpu_set_t has are refused with EINVAL.
  for (int count = CPU_SETSIZE; processors.empty() && count <= (1 << 16); count *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(count));
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(count));
    if (sched_getaffinity(0, size, set) == 0) {
      for (int processor = 0; processor < count; ++processor) {
        if (CPU_ISSET_S(static_cast<std::size_t>(processor), size, set)) processors.push_back(processor);
      }
    }
    CPU_FREE(set);
  }
  if (processors.empty()) {
    for (unsigned processor = 0; processor < std::max(1U, std::thread::hardware_concurrency()); ++processor)
      processors.push_back(static_cast<int>(processor));
  }
  return useful_threads("", processors);
}

}  // namespace vene::cli
