// SPDX-License-Identifier: Apache-2.0
#include "src/io/place.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "src/io/failure.h"
#include "vene/base/error.h"

namespace vene::io {

Place look_at(const std::string& path) {
  if (path.empty()) throw IoError("the name of a file or folder is empty");
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    return S_ISREG(status.st_mode) ? Place::kFile : S_ISDIR(status.st_mode) ? Place::kFolder : Place::kOther;
  }
  const int error = errno;
  if (error == ELOOP) fail(path, "is a loop of links");
  if (error != ENOENT) fail_with_errno("reach", path, error);
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  if (size >= 0)
    fail(path, "is a link to " + in_quotes({target, static_cast<std::size_t>(size)}) + ", where nothing is");
  return Place::kNothing;
}

}  // namespace vene::io
