// SPDX-License-Identifier: Apache-2.0
#include "src/train/side_by_side.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace vene::detail {

void side_by_side(std::size_t workers, std::size_t count, const std::function<void(std::size_t)>& task) {
  if (workers <= 1 || count <= 1) {
    for (std::size_t number = 0; number < count; ++number) task(number);
    return;
  }
  std::atomic<std::size_t> next = 0;
  std::exception_ptr problem;
  std::mutex noting;
  const int processors = at::get_num_threads(), each = std::max(1, processors / static_cast<int>(workers));
  const auto work = [&] {
    at::set_num_threads(each);
    for (std::size_t number = next++; number < count; number = next++) {
      try {
        task(number);
      } catch (...) {
        const std::lock_guard lock(noting);
        if (!problem) problem = std::current_exception();
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t worker = 0; worker < std::min(workers, count); ++worker) threads.emplace_back(work);
  }
  at::set_num_threads(processors);  // the setting is partly the process's
  if (problem) std::rethrow_exception(problem);
}

}  // namespace vene::detail
