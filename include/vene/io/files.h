// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

#include "vene/base/export.h"

namespace vene::io {

/// A whole file as bytes; pipes and devices are read to their end. IoError with the path and the system's reason.
VENE_API std::string read_file(const std::string& path);

/// Writes a file atomically: temporary name in the same folder, flushed to disk, renamed. IoError with the path and the
/// system's reason; then nothing is left behind and an older file is as it was. A device or a pipe is written straight.
VENE_API void write_file(const std::string& path, std::string_view content);

/// A folder of its own in the system's place for such, removed with all that is in it at the end.
class VENE_API TemporaryFolder {
 public:
  /// @param name  how the folder's name begins. IoError where none can be made.
  explicit TemporaryFolder(const std::string& name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Makes a folder and its parents, and checks that it can be written to. IoError otherwise.
VENE_API void make_folder(const std::string& path);

}  // namespace vene::io
