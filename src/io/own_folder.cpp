// SPDX-License-Identifier: Apache-2.0
#include "src/io/own_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace vene::io {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRandomLetters = 6;  // of mkdtemp

// A descriptor of the folder with the lock of its owner on it. -1 where there is none: errno is EWOULDBLOCK when
// another process has it, ENOENT when the folder is gone, and something else on a file system without locks.
int lock_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -1;
  int error = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  // Between opening and locking, another process may have taken it for left behind, and away.
  struct stat opened {
  }, named{};
  if (error == 0 && (::fstat(descriptor, &opened) != 0 || ::stat(path.c_str(), &named) != 0 ||
                     opened.st_ino != named.st_ino || opened.st_uid != ::geteuid()))
    error = ENOENT;
  if (error == 0) return descriptor;
  ::close(descriptor);
  errno = error;
  return -1;
}

void remove_left_behind(const std::string& place, const std::string& prefix) {
  std::error_code ignored;
  for (fs::directory_iterator entry(place, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.size() != prefix.size() + kRandomLetters || !name.starts_with(prefix)) continue;
    const int lock = lock_folder(entry->path().string());
    if (lock < 0) continue;
    std::error_code failed;  // left for the next time
    fs::remove_all(entry->path(), failed);
    ::close(lock);
  }
}

}  // namespace

OwnFolder make_own_folder(const std::string& place, const std::string& prefix) {
  remove_left_behind(place, prefix);
  OwnFolder made;
  do {
    made.path = (fs::path(place) / (prefix + std::string(kRandomLetters, 'X'))).string();
    if (::mkdtemp(made.path.data()) == nullptr) return {};
    made.lock = lock_folder(made.path);
    // Without locks it is a folder of one's own all the same, and no process takes it for left behind.
  } while (made.lock < 0 && (errno == EWOULDBLOCK || errno == ENOENT));
  return made;
}

void remove_own_folder(const OwnFolder& folder) noexcept {
  if (folder.path.empty()) return;
  std::error_code ignored;
  fs::remove_all(folder.path, ignored);
  if (folder.lock >= 0) ::close(folder.lock);
}

}  // namespace vene::io
