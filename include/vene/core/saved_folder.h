// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/config/intervenable_config.h"

namespace vene {

struct SavedTensor {
  std::string name{};
  torch::ScalarType dtype{};
  std::vector<std::int64_t> shape{};
  std::int64_t bytes = 0;
  bool parameter = false;  ///< is learned; else a constant, or a setting that is kept as a tensor
};

struct SavedRepresentation {
  std::string key{};
  std::string type{};       ///< "low_rank_rotated_space"
  std::string linked_to{};  ///< the key that its tensors are saved under, where another than its own
  bool constant_source = false;
  bool needs_source = true;  ///< reads a source's run, unless it has a constant
  std::vector<SavedTensor> tensors{};
};

struct SavedFile {
  std::string name{};  ///< within the folder
  std::string path{};  ///< where its contents lie: another than `name` after a save that was killed
  std::int64_t bytes = 0;
};

/// What is in a folder that IntervenableModel's `save` or pyvene wrote.
struct SavedFolder {
  bool pyvene = false;
  std::string vene_version{};  ///< empty: not known
  std::int64_t format_version = 1;
  IntervenableConfig config{};
  std::vector<SavedRepresentation> representations{};
  std::vector<SavedTensor> model_parts{};  ///< parameters of the model that trained along
  std::vector<SavedFile> files{};          ///< all of the folder's, hidden ones left out
  /// A line each: tensors that are missing, that nothing asks for, or that hold what is no number
  std::vector<std::string> problems{};
};

/// Reads a saved folder without its model. What would fail later, or compute nonsense, stands in `problems`. IoError
/// where it is none, ConfigError for a config that cannot be read.
VENE_API SavedFolder inspect_saved(const std::string& folder,
                                   const InterventionRegistry& registry = InterventionRegistry::standard());

/// Values of the parameters among some tensors.
VENE_API std::int64_t parameter_count(const std::vector<SavedTensor>& tensors);

}  // namespace vene
