// SPDX-License-Identifier: Apache-2.0
// A saved folder is up to three files that are of use together only, and no system renames three files at once. So each
// save has an id, which stands in every file of it, and config.json, renamed last, says which save holds. Until then
// the file that is replaced is kept under a second name: whatever the moment in which a save is killed, the files with
// the id of config.json are there.
#include "src/core/saved_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "src/base/at_place.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/io/stage_folder.h"

namespace vene::detail {
namespace {

namespace fs = std::filesystem;
constexpr std::array<const char*, 2> kTensorFiles{kTensorsFile, kPartsFile};

std::string kept_name(const std::string& name) {
  return ".previous-" + name;
}

// Over words of 8 bytes, so that gigabytes of trained model parts take no time beside their writing.
class Hash {
 public:
  void add(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (; size >= 8; size -= 8, bytes += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes, 8);
      mix(word);
    }
    std::uint64_t rest = size;
    for (std::size_t i = 0; i < size; ++i) rest = rest << 8 | bytes[i];
    mix(rest);
  }
  void add(const std::string& text) { add(text.data(), text.size()); }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value_));
    return digits;
  }

 private:
  void mix(std::uint64_t word) {
    value_ = std::rotl((value_ ^ word) * 0x9E3779B97F4A7C15ULL, 29);
    value_ ^= value_ >> 32;
  }
  std::uint64_t value_ = 0x243F6A8885A308D3ULL;
};

void add(Hash& hash, const io::NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    hash.add(name + c10::toString(tensor.scalar_type()) + c10::str(tensor.sizes()));
    hash.add(tensor.const_data_ptr(), tensor.nbytes());
  }
}

io::NamedTensors on_cpu(const io::NamedTensors& tensors) {
  io::NamedTensors plain;
  for (const auto& [name, tensor] : tensors) plain.emplace_back(name, tensor.detach().cpu().contiguous());
  return plain;
}

// What config.json says of its save.
struct Saved {
  std::string id;  // empty: of no save (pyvene's, or by hand)
  std::vector<std::string> files;
};

Saved saved_of(const std::string& config) {
  Saved saved;
  std::string problem;  // is told of where the config is read
  const Json json = read_json(config, problem);
  if (!json.is_object() || !json.contains("saved")) return saved;
  const Json& entry = json["saved"];
  if (entry.is_object() && entry.contains("id") && entry["id"].is_string()) saved.id = entry["id"];
  if (entry.is_object() && entry.contains("files") && entry["files"].is_array()) {
    for (const Json& file : entry["files"]) {
      if (file.is_string()) saved.files.push_back(file);
    }
  }
  return saved;
}

std::string id_of(const io::Safetensors& file) {
  const auto found = file.metadata().find("saved");
  return found == file.metadata().end() ? "" : found->second;
}

// The file of a save under its name or the one that it was kept under; one that was put there by hand has no id and is
// taken as it is.
std::optional<io::Safetensors> find_file(const fs::path& root, const std::string& name, const std::string& id,
                                         std::string& path) {
  std::optional<io::Safetensors> by_hand;
  for (const std::string& candidate : {name, kept_name(name)}) {
    path = (root / candidate).string();
    if (!fs::exists(path)) continue;
    io::Safetensors file = io::Safetensors::open(path);
    if (id_of(file) == id) return file;
    if (candidate == name && id_of(file).empty()) by_hand = file;
  }
  path = by_hand ? (root / name).string() : "";
  return by_hand;
}

// Held while files are renamed: two saves into one folder come one after the other.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  // The new names reach the disk before what comes next does.
  void flush() const { [[maybe_unused]] const int flushed = ::fsync(descriptor_); }

 private:
  int descriptor_;
};

// Whether the file is the one that config.json speaks of.
bool holds(const std::string& path, const std::string& id) {
  if (!fs::exists(path)) return false;
  try {
    const std::string own = id_of(io::Safetensors::open(path));
    return own == id || own.empty();
  } catch (const IoError&) {
    return false;
  }
}

std::string current_id(const std::string& config_path) {
  std::error_code ignored;
  return fs::is_regular_file(config_path, ignored) ? saved_of(io::read_file(config_path)).id : "";
}

}  // namespace

SavedFiles find_saved(const std::string& folder) {
  const fs::path root(folder);
  SavedFiles found;
  found.config_path = (root / kConfigFile).string();
  constexpr int kTimes = 4;  // a file may be renamed between being seen and being opened
  for (int times = 1;; ++times) {
    found.config = io::read_file(found.config_path);
    const Saved saved = saved_of(found.config);
    std::string problem;
    try {
      found.tensors = find_file(root, kTensorsFile, saved.id, found.tensors_path);
      found.parts = find_file(root, kPartsFile, saved.id, found.parts_path);
      for (const std::string& name : saved.files) {
        if (name == kTensorsFile ? found.tensors.has_value() : found.parts.has_value()) continue;
        problem = (root / name).string() + (fs::exists(root / name)
                                                ? ": is of another save than the config.json beside it"
                                                : ": is missing, and config.json says that it was saved with it");
      }
    } catch (const IoError& error) {
      problem = error.what();
    }
    // Where another process saved in the meantime, its files are read.
    if (io::read_file(found.config_path) != found.config) continue;
    if (problem.empty()) return found;
    if (times >= kTimes) throw IoError(problem);
  }
}

IntervenableConfig parse_config(const SavedFiles& files, const InterventionRegistry& registry) {
  return at_place(files.config_path, [&] {
    return IntervenableConfig::parse(files.config, registry, fs::path(files.config_path).parent_path().string());
  });
}

void write_saved(const std::string& folder, OrderedJson json, const io::NamedTensors& tensors,
                 const std::vector<std::string>& parameters, const io::NamedTensors& parts) {
  const std::array<io::NamedTensors, 2> contents{on_cpu(tensors), on_cpu(parts)};
  Hash hash;
  hash.add(written_json(json));
  for (const io::NamedTensors& content : contents) add(hash, content);
  const std::string id = hash.text();
  json["saved"] = {{"id", id}, {"files", OrderedJson::array()}};

  const io::StageFolder stage(folder);
  for (std::size_t i = 0; i < contents.size(); ++i) {
    if (contents[i].empty()) continue;
    std::map<std::string, std::string> metadata{{"format", "vene"}, {"saved", id}};
    if (i == 0) metadata["parameters"] = written_json(Json(parameters), -1);
    stage.write(kTensorFiles[i], [&](const std::string& path) { io::write_safetensors(path, contents[i], metadata); });
    json["saved"]["files"].push_back(kTensorFiles[i]);
  }
  stage.write(kConfigFile, [&](const std::string& path) { io::write_file(path, written_json(json) + "\n"); });

  const FolderLock lock(folder);
  const std::string before = current_id(stage.final_place(kConfigFile));
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const std::string place = stage.final_place(kTensorFiles[i]), kept = stage.final_place(kept_name(kTensorFiles[i]));
    // What is not of the save that config.json speaks of was left by a save that was killed, whose predecessor is
    // already kept.
    if (holds(place, before) && std::rename(place.c_str(), kept.c_str()) != 0)
      throw IoError("cannot write '" + place + "': " + std::generic_category().message(errno));
    if (contents[i].empty()) {
      ::unlink(place.c_str());
    } else {
      stage.move(kTensorFiles[i]);
    }
  }
  lock.flush();
  stage.move(kConfigFile);
  lock.flush();
  for (const char* name : kTensorFiles) ::unlink(stage.final_place(kept_name(name)).c_str());
}

}  // namespace vene::detail
