// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"

namespace vene::io {

/// A whole file as bytes. A named pipe or a device, which may have no end, is refused; /dev/stdin and what a shell
/// hands over as /dev/fd/N is read to its end. IoError with the path and the system's reason.
VENE_API std::string read_file(const std::string& path);

/// Writes a file atomically: temporary name in the same folder, flushed to disk, renamed. IoError with the path and the
/// system's reason; then nothing is left behind and an older file is as it was. A link to a file stays, and the file
/// that it leads to is replaced. A device, or a pipe that is being read, is written straight.
VENE_API void write_file(const std::string& path, std::string_view content);

/// Refuses, before any work is done for it, a path that no file can be written to: IoError for an empty or too long
/// name, a folder, a pipe or a device, a link that leads nowhere, a folder that is not there or may not be written
/// into.
VENE_API void check_file_place(const std::string& path);

/// A folder of its own in the system's place for such, removed with all that is in it at the end; one that a killed
/// process left behind goes when the next of its name is made.
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
  int lock_ = -1;
};

/// Says, by a file `.vene-lock` that goes with the object or its process, that a folder is being worked in.
class VENE_API FolderLock {
 public:
  /// @param folder  one that is there. IoError where another process, or thread, works in it.
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::string path_;
  int descriptor_ = -1;
};

/// Makes a folder and its parents, and checks that it can be written to. Returns those that were not there, the
/// outermost first. IoError otherwise; then none of them is left.
VENE_API std::vector<std::string> make_folder(const std::string& path);

}  // namespace vene::io
