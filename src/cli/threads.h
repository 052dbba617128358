// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace vene::cli {

/// How many threads help: one a physical core among the processors that this process may use, and no more than a
/// container's share of processor time allows. At least 1.
int useful_threads();

/// The same from the system's files below `root` ("" or a copy in a test), for processors with these numbers.
int useful_threads(const std::string& root, const std::vector<int>& processors);

}  // namespace vene::cli
