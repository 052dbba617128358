// SPDX-License-Identifier: Apache-2.0
#include "vene/io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "src/io/atomic_file.h"
#include "src/io/failure.h"
#include "vene/base/error.h"

namespace vene::io {

std::string read_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_with_errno("read", path, errno);
  struct stat status {};
  std::string content;
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode))
    content.reserve(static_cast<std::size_t>(status.st_size));
  // Read to the end rather than to the size that the file claims: pipes and /proc claim none.
  char piece[1 << 16];
  for (;;) {
    const ssize_t count = ::read(descriptor, piece, sizeof piece);
    if (count > 0) {
      content.append(piece, static_cast<std::size_t>(count));
    } else if (count == 0) {
      break;
    } else if (errno != EINTR) {
      const int error = errno;
      ::close(descriptor);
      fail_with_errno("read", path, error);
    }
  }
  ::close(descriptor);
  return content;
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.finish();
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  // create_directories fails on "a/b/" in some versions although the folder is there, so what counts is the outcome.
  std::error_code outcome;
  if (!std::filesystem::is_directory(path, outcome)) {
    if (std::filesystem::exists(path, outcome)) fail(path, "is a file where a folder is wanted");
    fail_with_errno("make the folder", path, error ? error.value() : ENOENT);
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail_with_errno("write into the folder", path, errno);
}

TemporaryFolder::TemporaryFolder(const std::string& name) {
  std::error_code error;
  const std::filesystem::path place = std::filesystem::temp_directory_path(error);
  path_ = ((error ? std::filesystem::path("/tmp") : place) / (name + "-XXXXXX")).string();
  if (mkdtemp(path_.data()) == nullptr) throw IoError(path_ + ": cannot make a temporary folder");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace vene::io
