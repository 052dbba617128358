// SPDX-License-Identifier: Apache-2.0
#include "src/cli/output_folder.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::cli {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(std::string folder) : folder_(std::move(folder)) {
  if (folder_.empty()) throw IoError("the output folder's name is empty");
  std::error_code ignored;
  fs::path existing = fs::absolute(folder_).lexically_normal();
  if (!existing.has_filename()) existing = existing.parent_path();
  for (; !existing.empty() && !fs::exists(existing, ignored); existing = existing.parent_path())
    made_.insert(made_.begin(), existing.string());
  try {
    io::make_folder(folder_);
  } catch (...) {
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) fs::remove(*made, ignored);
    throw;
  }
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  stage_.reset();
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) fs::remove(*made, ignored);  // only where empty
}

std::string OutputFolder::path(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

void OutputFolder::write(const std::string& name, const std::function<void(const std::string& path)>& write) {
  if (!stage_) stage_.emplace(folder_);
  stage_->write(name, write);
  files_.push_back(name);
}

void OutputFolder::commit() {
  std::error_code error;
  std::vector<std::string> moves;
  for (const std::string& name : files_) {
    const bool folder = fs::is_directory(stage_->staged(name), error), there = fs::exists(path(name), error);
    if (!folder && fs::is_directory(path(name), error))
      throw IoError("'" + path(name) + "' is a folder where a file is to be written");
    if (folder && there && !fs::is_directory(path(name), error))
      throw IoError("'" + path(name) + "' is a file where a folder is to be written");
    if (!folder || !there) {
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
  for (const std::string& name : moves) stage_->move(name);
  files_.clear();
  made_.clear();
}

}  // namespace vene::cli
