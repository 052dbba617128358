// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "vene/base/export.h"

namespace vene::io {

/// A hidden folder `.vene-XXXXXX` inside another, where files are made before they take their places. It goes away with
/// the object; one that a killed process left behind goes away when the next is made in the same folder. Which ones are
/// left behind is told by a lock that the system drops with its process, so the stage of a living process is never
/// touched.
class VENE_API StageFolder {
 public:
  /// Makes the folder (parents too) and the stage in it. IoError otherwise.
  explicit StageFolder(const std::string& folder);
  ~StageFolder();
  StageFolder(const StageFolder&) = delete;
  StageFolder& operator=(const StageFolder&) = delete;

  /// Where a file of the stage lies, and where it will.
  std::string staged(const std::string& name) const;
  std::string final_place(const std::string& name) const;
  /// Has `write` make the file `name`, at the path that it is handed. An IoError speaks of the file at its final place.
  void write(const std::string& name, const std::function<void(const std::string& path)>& write) const;
  /// Renames a file of the stage to its final place; IoError otherwise.
  void move(const std::string& name) const;
  /// Renames several, files or folders, in this order: all of them, or none where one cannot be (IoError), in which
  /// case what was there before is there again. Two processes that do so in one folder come one after the other.
  void move_all(const std::vector<std::string>& names) const;

 private:
  std::string folder_, stage_;
  int lock_ = -1;
};

}  // namespace vene::io
