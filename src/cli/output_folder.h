// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vene/io/stage_folder.h"

namespace vene::cli {

/// Where a command's files go: all of them or none. Files are first written into a hidden folder inside; `commit` moves
/// them to their names. Without it everything is taken away again, folders that were made included.
class OutputFolder {
 public:
  /// Makes the folder (parents too) and checks that it can be written to; IoError otherwise.
  explicit OutputFolder(std::string folder);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Has `write` make the file or folder `name`, at the path that it is handed.
  void write(const std::string& name, const std::function<void(const std::string& path)>& write);
  /// Takes `name` out again, where it was written.
  void drop(const std::string& name);
  /// The path that `name` has in the end.
  std::string path(const std::string& name) const;
  /// Prints `said`, and then moves the files: where standard output or a place cannot be written, none is changed
  /// (IoError).
  void commit(const std::string& said = "");

 private:
  std::vector<std::string> moves() const;

  std::string folder_;
  std::optional<io::StageFolder> stage_;
  std::vector<std::string> made_;   // folders that were not there before, the outermost first
  std::vector<std::string> files_;  // names in stage_
};

}  // namespace vene::cli
