// SPDX-License-Identifier: Apache-2.0
#include "vene/io/stage_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "src/io/failure.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".vene-";
constexpr std::size_t kNameSize = kPrefix.size() + 6;

// A descriptor of the folder with the lock of its owner on it. -1 where there is none: errno is EWOULDBLOCK when
// another process has it, ENOENT when the folder is gone, and something else on a file system without locks.
int lock_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return -1;
  int error = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  // Between opening and locking, another process may have taken it for left behind, and away.
  struct stat opened {
  }, named{};
  if (error == 0 &&
      (::fstat(descriptor, &opened) != 0 || ::stat(path.c_str(), &named) != 0 || opened.st_ino != named.st_ino))
    error = ENOENT;
  if (error == 0) return descriptor;
  ::close(descriptor);
  errno = error;
  return -1;
}

void remove_left_behind(const std::string& folder) {
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.size() != kNameSize || !name.starts_with(kPrefix)) continue;
    const int lock = lock_folder(entry->path().string());
    if (lock < 0) continue;
    std::error_code failed;  // left for the next time
    fs::remove_all(entry->path(), failed);
    ::close(lock);
  }
}

}  // namespace

StageFolder::StageFolder(const std::string& folder) : folder_(folder) {
  make_folder(folder_);
  remove_left_behind(folder_);
  do {
    stage_ = (fs::path(folder_) / (std::string(kPrefix) + "XXXXXX")).string();
    if (::mkdtemp(stage_.data()) == nullptr) fail_with_errno("write into the folder", folder_, errno);
    lock_ = lock_folder(stage_);
    // Without locks it is a stage all the same, and no process takes it for left behind.
  } while (lock_ < 0 && (errno == EWOULDBLOCK || errno == ENOENT));
}

StageFolder::~StageFolder() {
  std::error_code ignored;
  fs::remove_all(stage_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

std::string StageFolder::staged(const std::string& name) const {
  return (fs::path(stage_) / name).string();
}
std::string StageFolder::final_place(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

void StageFolder::write(const std::string& name, const std::function<void(const std::string& path)>& write) const {
  try {
    write(staged(name));
  } catch (const IoError& error) {
    std::string message = error.what();
    const std::string from = staged(""), to = final_place("");
    for (std::size_t at = message.find(from); at != std::string::npos; at = message.find(from, at + to.size()))
      message.replace(at, from.size(), to);
    throw IoError(message);
  }
}

void StageFolder::move(const std::string& name) const {
  if (std::rename(staged(name).c_str(), final_place(name).c_str()) != 0)
    fail_with_errno("write", final_place(name), errno);
}

}  // namespace vene::io
