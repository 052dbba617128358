// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace vene::io {

/// A folder with a fresh name that one object of this process has to itself. A lock, which the system drops when the
/// process ends, however it ends, tells it from one that a killed process left behind.
struct OwnFolder {
  std::string path;
  int lock = -1;  ///< descriptor; -1 on a file system without locks
};

/// Makes `<place>/<prefix>XXXXXX`, and removes this user's folders of such a name that were left behind there. An empty
/// path: it cannot be made (errno).
OwnFolder make_own_folder(const std::string& place, const std::string& prefix);
void remove_own_folder(const OwnFolder& folder) noexcept;

}  // namespace vene::io
