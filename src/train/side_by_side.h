// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <functional>

namespace vene::detail {

/// Does the tasks 0 to `count` - 1, `workers` at a time, in order of their numbers. The processors that a task's
/// products may use are shared out among the workers. After a task has thrown no further one is begun, and the first
/// exception comes out.
void side_by_side(std::size_t workers, std::size_t count, const std::function<void(std::size_t)>& task);

}  // namespace vene::detail
