// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "src/base/json.h"
#include "src/io/failure.h"
#include "src/io/legacy_archive.h"
#include "src/io/mapped_file.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/safetensors.h"
#include "vene/io/torch_archive.h"

namespace vene::io {
namespace {

constexpr std::size_t kMostIndexBytes = 32'000'000;  // one of 100,000 tensors takes about 10 MB

NamedTensors read_safetensors(const std::string& path) {
  const Safetensors file = Safetensors::open(path);
  NamedTensors tensors;
  tensors.reserve(file.tensors().size());
  for (const TensorInfo& info : file.tensors()) tensors.emplace_back(info.name, file.tensor(info.name));
  return tensors;
}

NamedTensors read_single(const std::string& path, Leftovers* leftovers) {
  // The content decides, as a name says little: a .bin may hold either.
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const auto state_dict = [&] { return read_state_dict(path, leftovers ? &leftovers->not_tensors : nullptr); };
  if (file->bytes().starts_with("PK") || is_legacy_archive(file->bytes())) return state_dict();
  const std::string extension = std::filesystem::path(path).extension().string();
  const bool archive = extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
  return archive ? state_dict() : read_safetensors(path);
}

detail::Json parse_index(const std::string& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  refuse_lfs_pointer(path, file->bytes());
  if (file->size() > kMostIndexBytes) fail(path, "is too large for an index of shards");
  std::string problem;
  detail::Json index = detail::read_json(file->bytes(), problem);
  if (!problem.empty()) fail(path, "is not valid JSON: " + problem);
  return index;
}

// The tensors of each shard, shards in order of their names.
std::map<std::string, std::vector<std::string>> shards_of(const std::string& path) {
  const detail::Json index = parse_index(path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    fail(path, "has no \"weight_map\" object of tensor names and shard files");
  }
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) fail(path, "gives tensor " + in_quotes(name) + " a shard that is not a file name");
    const std::string file = shard.get<std::string>();
    // Shards lie beside their index; a path that leads elsewhere is none of a checkpoint's business.
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos ||
        file.find('\0') != std::string::npos) {
      fail(path,
           "gives tensor " + in_quotes(name) + " the shard " + in_quotes(file) + ", which is not a plain file name");
    }
    shards[file].push_back(name);
  }
  return shards;
}

// A tensor is taken from the shard that the index names for it; one that is not there from whichever shard has it.
NamedTensors read_sharded(const std::string& path, Leftovers* leftovers) {
  NamedTensors tensors, elsewhere;
  std::unordered_set<std::string> taken;
  std::map<std::string, std::string> absent;
  std::vector<std::string> present;
  for (const auto& [file, names] : shards_of(path)) {
    const std::string shard = (std::filesystem::path(path).parent_path() / file).string();
    if (!std::filesystem::exists(shard))
      fail(path, "names the shard " + in_quotes(file) + " (for tensor " + in_quotes(names.front()) +
                     "), which is missing beside it");
    std::unordered_set<std::string_view> wanted(names.begin(), names.end());
    for (auto& [name, tensor] : read_single(shard, leftovers)) {
      present.push_back(name);
      const bool here = wanted.erase(name) > 0;
      if (here) taken.insert(name);
      (here ? tensors : elsewhere).emplace_back(std::move(name), std::move(tensor));
    }
    for (const std::string_view name : wanted) absent.emplace(name, file);
  }
  for (auto& [name, tensor] : elsewhere) {
    absent.erase(name);
    if (taken.insert(name).second) tensors.emplace_back(std::move(name), std::move(tensor));
  }
  if (leftovers != nullptr) {
    leftovers->absent = std::move(absent);
  } else if (!absent.empty()) {
    const auto& [name, file] = *absent.begin();
    fail((std::filesystem::path(path).parent_path() / file).string(),
         "lacks tensor " + in_quotes(name) + ", which " + in_quotes(std::filesystem::path(path).filename().string()) +
             " places there" + name_hint(name, present));
  }
  return tensors;
}

}  // namespace

NamedTensors read_tensors(const std::string& path, Leftovers* leftovers) {
  std::error_code unreadable;  // what cannot even be asked about is reported when it is opened
  if (!std::filesystem::is_directory(path, unreadable))
    return path.ends_with(".index.json") ? read_sharded(path, leftovers) : read_single(path, leftovers);
  const std::filesystem::path folder(path);
  for (const char* name : {"model.safetensors", "pytorch_model.bin"}) {
    if (std::filesystem::exists(folder / name)) return read_single((folder / name).string(), leftovers);
    const std::string index = std::string(name) + ".index.json";
    if (std::filesystem::exists(folder / index)) return read_sharded((folder / index).string(), leftovers);
  }
  fail(path,
       "holds no weights: expected model.safetensors, model.safetensors.index.json, pytorch_model.bin or "
       "pytorch_model.bin.index.json");
}

}  // namespace vene::io
