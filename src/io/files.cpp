// SPDX-License-Identifier: Apache-2.0
#include "vene/io/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "src/io/atomic_file.h"
#include "src/io/failure.h"
#include "src/io/own_folder.h"
#include "src/io/place.h"
#include "vene/base/error.h"

namespace vene::io {
namespace {

namespace fs = std::filesystem;

// Whether a path names what this process was started with or has opened: opening it waits for nobody.
bool is_handed_over(const std::string& path) {
  return path == "/dev/stdin" || path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/");
}

class ReadDescriptor {
 public:
  explicit ReadDescriptor(const std::string& path) {
    const bool handed_over = is_handed_over(path);
    // Without O_NONBLOCK, opening a named pipe that nobody writes to would wait for ever.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (handed_over ? 0 : O_NONBLOCK));
    if (descriptor_ < 0) fail_with_errno("read", path, errno);
    struct stat status {};
    const int error = ::fstat(descriptor_, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    const bool regular = S_ISREG(status.st_mode);
    if (error == 0 && (regular || handed_over)) {
      size_ = regular ? static_cast<std::size_t>(status.st_size) : 0;
      return;
    }
    ::close(descriptor_);
    if (error != 0) fail_with_errno("read", path, error);
    fail(path, "is not a regular file");
  }
  ~ReadDescriptor() { ::close(descriptor_); }
  ReadDescriptor(const ReadDescriptor&) = delete;
  ReadDescriptor& operator=(const ReadDescriptor&) = delete;
  int get() const { return descriptor_; }
  std::size_t size() const { return size_; }

 private:
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

}  // namespace

std::string read_file(const std::string& path) {
  const ReadDescriptor file(path);
  std::string content;
  content.reserve(file.size());
  // Read to the end rather than to the size that the file claims: pipes and /proc claim none.
  char piece[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.get(), piece, sizeof piece);
    if (count > 0) {
      content.append(piece, static_cast<std::size_t>(count));
    } else if (count == 0) {
      return content;
    } else if (errno != EINTR) {
      fail_with_errno("read", path, errno);
    }
  }
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.finish();
}

void check_file_place(const std::string& path) {
  const Place place = look_at(path);
  if (place == Place::kFolder || path.back() == '/') fail(path, "is a folder, not the name of a file to write");
  if (place == Place::kOther) fail(path, "is a pipe or a device, expected the name of a file to write");
  // A link to a file stays; the file that it leads to is what will be replaced.
  const fs::path file = place == Place::kFile ? fs::canonical(path) : fs::path(path);
  const std::string parent = file.has_parent_path() ? file.parent_path().string() : ".";
  const Place above = look_at(parent);
  if (above == Place::kNothing) fail_with_errno("write", path, ENOENT);
  if (above != Place::kFolder) fail_with_errno("write", path, ENOTDIR);
  if (::access(parent.c_str(), W_OK | X_OK) != 0) fail_with_errno("write into the folder", parent, errno);
}

std::vector<std::string> make_folder(const std::string& path) {
  std::vector<std::string> made;
  try {
    fs::path so_far;
    for (const fs::path& part : fs::path(path)) {
      so_far /= part;
      if (part.empty()) continue;  // behind a slash at the end
      const std::string here = so_far.string();
      Place place = look_at(here);
      if (place == Place::kNothing) {
        if (::mkdir(here.c_str(), 0777) == 0) {
          made.push_back(here);
          continue;
        }
        if (errno != EEXIST) fail_with_errno("make the folder", path, errno);
        place = look_at(here);  // another process was faster
      }
      if (place == Place::kFolder) continue;
      if (so_far != fs::path(path)) fail_with_errno("make the folder", path, ENOTDIR);
      fail(path,
           std::string("is a ") + (place == Place::kFile ? "file" : "pipe or a device") + " where a folder is wanted");
    }
    if (path.empty()) throw IoError("the name of a folder is empty");
    if (::access(path.c_str(), W_OK | X_OK) != 0) fail_with_errno("write into the folder", path, errno);
  } catch (...) {
    for (auto folder = made.rbegin(); folder != made.rend(); ++folder) ::rmdir(folder->c_str());
    throw;
  }
  return made;
}

TemporaryFolder::TemporaryFolder(const std::string& name) {
  std::error_code error;
  const fs::path place = fs::temp_directory_path(error);
  const std::string folder = error ? "/tmp" : place.string();
  const OwnFolder own = make_own_folder(folder, name + "-");
  if (own.path.empty()) fail_with_errno("make a temporary folder in", folder, errno);
  lock_ = own.lock;
  // What is handed out lies within, so that whoever locks it, as a save does, does not wait for the lock here.
  path_ = (fs::path(own.path) / "in").string();
  if (::mkdir(path_.c_str(), 0700) != 0) {
    const int error_number = errno;
    remove_own_folder(own);
    fail_with_errno("make a temporary folder in", folder, error_number);
  }
}

TemporaryFolder::~TemporaryFolder() {
  remove_own_folder({fs::path(path_).parent_path().string(), lock_});
}

FolderLock::FolderLock(const std::string& folder) : path_((fs::path(folder) / ".vene-lock").string()) {
  for (;;) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
    if (descriptor_ < 0) fail_with_errno("write", path_, errno);
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    const bool taken = !locked && errno == EWOULDBLOCK;  // a file system without locks has another error
    struct stat opened {
    }, named{};
    const bool same =
        ::fstat(descriptor_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
    if (!taken && same) return;
    ::close(descriptor_);
    descriptor_ = -1;
    if (taken) fail(folder, "another process works in it; wait for its end, or name another folder");
    // Its owner has just taken the file away.
  }
}

FolderLock::~FolderLock() {
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

}  // namespace vene::io
