// SPDX-License-Identifier: Apache-2.0
#include "src/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "src/io/failure.h"
#include "src/io/place.h"

namespace vene::io {
namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// What the name of a temporary file begins with; cut, so that a long name does not become too long by what is added to
// it.
std::string temporary_prefix(const std::string& path) {
  return "." + std::filesystem::path(path).filename().string().substr(0, 180) + ".";
}

// The lock says that a process is still writing the file: the system drops it when that process ends, however it ends.
// A file system without locks refuses with another error than EWOULDBLOCK.
bool lock(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
}

bool still_named(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && status.st_nlink > 0;
}

// Temporary files of this name that killed processes left behind.
void remove_left_behind(const std::string& path) {
  const std::string prefix = temporary_prefix(path);
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(folder_of(path), ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".tmp") || name.size() < prefix.size() + 4) continue;
    const std::string middle = name.substr(prefix.size(), name.size() - prefix.size() - 4);
    if (middle.empty() || middle.find_first_not_of("0123456789-") != std::string::npos) continue;
    const int descriptor = ::open(entry->path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (lock(descriptor)) ::unlink(entry->path().c_str());
    ::close(descriptor);
  }
}

// open(2) and not mkstemp(3), so that the file gets the permissions that the user's umask asks for.
int open_temporary(const std::string& path, std::string& temporary) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0;; ++attempt) {
    const std::string unique =
        temporary_prefix(path) + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
    temporary = (std::filesystem::path(folder_of(path)) / unique).string();
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) {
      if (errno == EEXIST && attempt < 100) continue;
      return descriptor;
    }
    // Before it was locked, another process may have taken it for left behind.
    if ((lock(descriptor) || errno != EWOULDBLOCK) && still_named(descriptor)) return descriptor;
    ::close(descriptor);
  }
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const bool no_name = path_.empty() || path_.back() == '/';
  const Place place = no_name ? Place::kFolder : look_at(path_);
  if (place == Place::kFolder) fail(path_, "is a folder, not the name of a file to write");
  if (place == Place::kOther) {
    // Without O_NONBLOCK, opening a named pipe that nobody reads would wait for ever.
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0 || ::fcntl(descriptor_, F_SETFL, O_WRONLY) != 0) fail_with_errno("write", path_, errno);
    return;
  }
  if (place == Place::kFile) {
    std::error_code error;  // the file that a link leads to is replaced, not the link
    const std::filesystem::path real = std::filesystem::canonical(path_, error);
    if (!error && std::filesystem::is_symlink(path_, error)) path_ = real.string();
  }
  remove_left_behind(path_);
  descriptor_ = open_temporary(path_, temporary_);
  if (descriptor_ < 0) {
    const int error = errno;
    temporary_.clear();
    fail_with_errno("write", path_, error);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, next, std::min<std::size_t>(size, std::size_t{1} << 30));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with_errno("write", path_, errno);
    }
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::finish() {
  // A device or a pipe may have nothing to flush, and says so by an error; a disk that says so has lost data.
  if (!temporary_.empty() && ::fsync(descriptor_) != 0) fail_with_errno("write", path_, errno);
  // Renamed while the lock on it holds.
  const bool placed = !temporary_.empty();
  if (placed && std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno("write", path_, errno);
  temporary_.clear();
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail_with_errno("write", path_, errno);
  if (!placed) return;
  // The new name itself is in the folder, which is flushed as well; where that cannot be done the file is still whole.
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    [[maybe_unused]] const int flushed = ::fsync(folder);
    ::close(folder);
  }
}

}  // namespace vene::io
