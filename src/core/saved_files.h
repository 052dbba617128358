// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "vene/config/intervenable_config.h"
#include "vene/io/safetensors.h"

namespace vene::detail {

inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kTensorsFile = "interventions.safetensors";
inline constexpr const char* kPartsFile = "model_parts.safetensors";

/// The files of a saved folder that belong together.
struct SavedFiles {
  std::string config_path, config;  ///< config.json and its text
  std::optional<io::Safetensors> tensors, parts;
  std::string tensors_path, parts_path;  ///< where those two lie; empty: there is none
};

/// Finds them, also after a save that was killed between two of its renames, and while another process saves. IoError
/// where files of one save are not there in whole.
SavedFiles find_saved(const std::string& folder);

/// Their config; errors name the path.
IntervenableConfig parse_config(const SavedFiles& files, const InterventionRegistry& registry);

/// Saves: a reader finds everything of it or everything of the save before. `json`: the config, to which it adds what
/// ties the files together. `parameters`: names of those tensors that are parameters. An empty list of tensors makes no
/// file.
void write_saved(const std::string& folder, OrderedJson json, const io::NamedTensors& tensors,
                 const std::vector<std::string>& parameters, const io::NamedTensors& parts);

}  // namespace vene::detail
