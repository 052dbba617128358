// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace vene::io {

/// A whole file in memory, copy on write: reading costs no memory beyond the page cache, and a write by whoever got a
/// view (an optimiser step on a loaded weight) stays in this process and never reaches the file.
class MappedFile {
 public:
  /// IoError if the file is missing, unreadable, or not a regular file.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::size_t size() const { return size_; }
  char* data() const { return data_; }
  std::string_view bytes() const { return {data_, size_}; }
  /// Gives back the memory of the pages that lie wholly in a range; what was written there is lost, and the next reader
  /// gets the file's bytes again.
  void forget(const char* begin, std::size_t size) const noexcept;

 private:
  MappedFile(std::string path, char* data, std::size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  char* data_;
  std::size_t size_;
};

}  // namespace vene::io
