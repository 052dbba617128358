// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "vene/base/export.h"

namespace vene::io {

/// What a PyTorch zip archive (.bin, .pt) may hold here: tensors and plain containers, nothing that runs.
struct VENE_API ArchiveValue {
  using List = std::vector<ArchiveValue>;                           ///< list, tuple or set
  using Dict = std::vector<std::pair<ArchiveValue, ArchiveValue>>;  ///< dict or OrderedDict, in order
  std::variant<std::monostate, bool, std::int64_t, double, std::string, torch::Tensor, List, Dict> value{};

  /// The entry of a dict under a string key, or nullptr.
  const ArchiveValue* find(std::string_view key) const;
};

/// Reads an archive as Python's torch.save writes it (zip, pickle protocols 2 to 5; before PyTorch 1.6 no zip), with a
/// reader that builds tensors and plain containers and refuses every other global by its name. Throws IoError.
VENE_API ArchiveValue read_archive(const std::string& path);

/// The tensors of a state dict archive; a top-level {"state_dict": {...}} is looked into. The names of
/// what in it is not a tensor go to `not_tensors`; without that, and where nothing is a tensor, IoError.
VENE_API std::vector<std::pair<std::string, torch::Tensor>> read_state_dict(
    const std::string& path, std::vector<std::string>* not_tensors = nullptr);

/// Writes a state dict as torch.save does, atomically: Python's torch.load reads it, also with weights_only. Throws
/// IoError.
VENE_API void write_state_dict(const std::string& path,
                               const std::vector<std::pair<std::string, torch::Tensor>>& tensors);

}  // namespace vene::io
