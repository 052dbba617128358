// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene::io {

struct TensorInfo {
  std::string name{};
  torch::ScalarType dtype{};
  std::vector<std::int64_t> shape{};
  std::int64_t begin = 0, end = 0;  ///< byte range in the file's data section
};

/// A safetensors file, mapped copy on write. Tensors are views into the mapping, which they keep alive: nothing is
/// copied until something needs another dtype or device. A write to one stays in this process: other views of it from
/// the same `open` see it as long as one of them lives, the file never does. With the last view of a tensor its memory
/// is given back. (Bools, and data at odd addresses, are copied.) A file must not be cut while mapped; replacing it by
/// rename, as the writers here do, is safe.
class VENE_API Safetensors {
 public:
  /// Checks the whole header before returning: lengths, dtypes, shapes against byte ranges, overlaps and holes, double
  /// names. Throws IoError with the path and the tensor.
  static Safetensors open(const std::string& path);

  const std::vector<TensorInfo>& tensors() const;              ///< in order of their place in the file
  const std::map<std::string, std::string>& metadata() const;  ///< the "__metadata__" entry
  bool contains(const std::string& name) const;
  torch::Tensor tensor(const std::string& name) const;  ///< IoError with the nearest names if absent

 private:
  struct File;
  std::shared_ptr<const File> file_;
};

/// Tensors and their names, in the order of their file.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// What a checkpoint says beside its tensors.
struct Leftovers {
  std::map<std::string, std::string>
      absent{};                            ///< names that an index lists and no shard has, and where it places them
  std::vector<std::string> not_tensors{};  ///< entries of a state dict that are numbers, texts and the like
};

/// Every tensor of a checkpoint: `path` is a .safetensors file, an *.index.json with its shards beside it (of either
/// kind), a .bin / .pt / .pth archive, or a folder that holds "model.safetensors", its index, "pytorch_model.bin", or
/// its index (the first found, in this order). Every shard that an index names is read whole, so that a tensor which
/// lies in another shard than the index says is found. Throws IoError; a missing shard is named, and so are, without
/// `leftovers`, a tensor that the index lists and no shard has, and an entry that is no tensor.
VENE_API NamedTensors read_tensors(const std::string& path, Leftovers* leftovers = nullptr);

/// Writes a safetensors file atomically: to a temporary name beside it, flushed, then renamed. Throws IoError and
/// leaves nothing behind when the disk is full or the folder cannot be written. Tensors may be on any device and
/// strided. Their order in the file is the reference writer's: by dtype, wider first, then by name.
VENE_API void write_safetensors(const std::string& path, const NamedTensors& tensors,
                                const std::map<std::string, std::string>& metadata = {});

}  // namespace vene::io
