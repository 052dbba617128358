// SPDX-License-Identifier: Apache-2.0
#include "src/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "src/io/failure.h"

namespace vene::io {

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe that nobody writes to would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_with_errno("open", path, errno);
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0;
  const int stat_error = errno;
  void* address = nullptr;
  int map_error = 0;
  if (known && S_ISREG(status.st_mode) && status.st_size > 0) {
    address = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
    if (address == MAP_FAILED) map_error = errno;
  }
  ::close(descriptor);
  if (!known) fail_with_errno("open", path, stat_error);
  if (!S_ISREG(status.st_mode))
    fail(path, S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
  if (map_error != 0) fail_with_errno("map", path, map_error);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<char*>(address), static_cast<std::size_t>(status.st_size)));
}

void MappedFile::forget(const char* begin, std::size_t size) const noexcept {
  static const auto kPage = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t first = (address + kPage - 1) / kPage * kPage, last = (address + size) / kPage * kPage;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace vene::io
