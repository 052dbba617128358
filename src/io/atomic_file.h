// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace vene::io {

/// A file that appears under its name only when complete: written beside it under a temporary name, flushed to disk,
/// renamed. Destroyed without `finish`, it leaves nothing behind and the old file as it was. A path that exists and is
/// no regular file (a device, a pipe) is written straight through, as there is nothing to rename over.
class AtomicFile {
 public:
  /// IoError if the folder is missing or cannot be written, or if the path names a folder.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void finish();

 private:
  std::string path_;
  std::string temporary_;  // empty when writing straight through
  int descriptor_ = -1;
};

}  // namespace vene::io
