// SPDX-License-Identifier: Apache-2.0
#include "src/cli/output_folder.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "src/cli/print.h"
#include "src/io/place.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::cli {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(std::string folder) : folder_(std::move(folder)) {
  if (folder_.empty()) throw IoError("the output folder's name is empty");
  made_ = io::make_folder(folder_);
}

OutputFolder::~OutputFolder() {
  stage_.reset();
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) ::rmdir(made->c_str());  // only where empty
}

std::string OutputFolder::path(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

void OutputFolder::write(const std::string& name, const std::function<void(const std::string& path)>& write) {
  if (!stage_) stage_.emplace(folder_);
  stage_->write(name, write);
  if (std::find(files_.begin(), files_.end(), name) == files_.end()) files_.push_back(name);
}

void OutputFolder::drop(const std::string& name) {
  std::erase(files_, name);
}

// What to rename, in this order.
std::vector<std::string> OutputFolder::moves() const {
  std::vector<std::string> moves;
  std::error_code error;
  for (const std::string& name : files_) {
    const bool folder = fs::is_directory(stage_->staged(name), error);
    const io::Place there = io::look_at(path(name));
    if (!folder && there == io::Place::kFolder)
      throw IoError("'" + path(name) + "' is a folder where a file is to be written");
    if (there == io::Place::kOther) throw IoError("'" + path(name) + "' is a pipe or a device");
    if (folder && there == io::Place::kFile)
      throw IoError("'" + path(name) + "' is a file where a folder is to be written");
    if (!folder || there == io::Place::kNothing || (fs::is_empty(path(name), error) && !fs::is_symlink(path(name)))) {
      moves.push_back(name);
      continue;
    }
    // Into a folder that is there go the files, one by one; what else is in it stays.
    std::vector<std::string> inside;
    for (const auto& entry : fs::directory_iterator(stage_->staged(name)))
      inside.push_back((fs::path(name) / entry.path().filename()).string());
    std::sort(inside.rbegin(), inside.rend());  // a saved folder's config.json, which says what is in it, comes last
    moves.insert(moves.end(), inside.begin(), inside.end());
  }
  return moves;
}

void OutputFolder::commit(const std::string& said) {
  const std::vector<std::string> all = moves();
  if (!say(said)) throw IoError("standard output: cannot be written; nothing is put into '" + folder_ + "'");
  if (!all.empty()) stage_->move_all(all);
  files_.clear();
  made_.clear();
}

}  // namespace vene::cli
