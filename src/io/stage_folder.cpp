// SPDX-License-Identifier: Apache-2.0
#include "vene/io/stage_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>

#include "src/io/failure.h"
#include "src/io/own_folder.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::io {
namespace {

namespace fs = std::filesystem;

// Held while the files of a set are renamed.
class RenamingLock {
 public:
  explicit RenamingLock(const std::string& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~RenamingLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  RenamingLock(const RenamingLock&) = delete;
  RenamingLock& operator=(const RenamingLock&) = delete;

 private:
  int descriptor_;
};

bool is_there(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// The new names themselves are in the folder; where it cannot be flushed, the files are whole all the same.
void flush_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  [[maybe_unused]] const int flushed = ::fsync(descriptor);
  ::close(descriptor);
}

// One rename that can be taken back.
struct Replacement {
  std::string place, kept;  // kept: what was there before, under a second name
  bool was_there = false, away = false, done = false;

  void keep() {
    was_there = is_there(place);
    if (!was_there || ::link(place.c_str(), kept.c_str()) == 0) return;
    // A folder, or a file system without second names.
    if (std::rename(place.c_str(), kept.c_str()) != 0) fail_with_errno("write", place, errno);
    away = true;
  }
  void undo(const std::string& staged) const {
    // Back into the stage; a file is then replaced by what was there before in one step, and a folder must go first.
    if (done && was_there && !away) {
      [[maybe_unused]] const int linked = ::link(place.c_str(), staged.c_str());
    } else if (done) {
      std::rename(place.c_str(), staged.c_str());
    }
    if (was_there && (done || away)) std::rename(kept.c_str(), place.c_str());
  }
};

}  // namespace

StageFolder::StageFolder(const std::string& folder) : folder_(folder) {
  make_folder(folder_);
  const OwnFolder own = make_own_folder(folder_, ".vene-");
  if (own.path.empty()) fail_with_errno("write into the folder", folder_, errno);
  stage_ = own.path;
  lock_ = own.lock;
}

StageFolder::~StageFolder() {
  remove_own_folder({stage_, lock_});
}

std::string StageFolder::staged(const std::string& name) const {
  return (fs::path(stage_) / name).string();
}
std::string StageFolder::final_place(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

void StageFolder::write(const std::string& name, const std::function<void(const std::string& path)>& write) const {
  try {
    write(staged(name));
  } catch (const IoError& error) {
    std::string message = error.what();
    const std::string from = staged(""), to = final_place("");
    for (std::size_t at = message.find(from); at != std::string::npos; at = message.find(from, at + to.size()))
      message.replace(at, from.size(), to);
    throw IoError(message);
  }
}

void StageFolder::move(const std::string& name) const {
  if (std::rename(staged(name).c_str(), final_place(name).c_str()) != 0)
    fail_with_errno("write", final_place(name), errno);
}

void StageFolder::move_all(const std::vector<std::string>& names) const {
  const RenamingLock lock(folder_);
  const fs::path kept = fs::path(stage_) / ".kept";
  if (::mkdir(kept.c_str(), 0700) != 0 && errno != EEXIST) fail_with_errno("write into the folder", folder_, errno);
  std::vector<Replacement> replacements;
  for (std::size_t i = 0; i < names.size(); ++i)
    replacements.push_back({final_place(names[i]), (kept / std::to_string(i)).string()});
  try {
    for (std::size_t i = 0; i < names.size(); ++i) {
      replacements[i].keep();
      move(names[i]);
      replacements[i].done = true;
    }
  } catch (...) {
    for (std::size_t i = names.size(); i-- > 0;) replacements[i].undo(staged(names[i]));
    throw;
  }
  std::set<fs::path> folders;
  for (const Replacement& one : replacements) folders.insert(fs::path(one.place).parent_path());
  for (const fs::path& folder : folders) flush_folder(folder);
}

}  // namespace vene::io
