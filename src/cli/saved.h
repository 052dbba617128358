// SPDX-License-Identifier: Apache-2.0
// What `vene inspect` prints of a saved folder and a model card tells of it.
#pragma once
#include <string>

#include "vene/core/saved_folder.h"

namespace vene::cli {

/// 1468416 as 1,468,416.
std::string grouped(std::int64_t number);
/// The interventions' and the model's that trained along.
std::int64_t all_parameters(const SavedFolder& saved);
/// "gpt2 of 6 layers, width 128 and vocabulary 2048"
std::string model_text(const SavedFolder& saved);
/// "block_output of layer 3, unit pos"
std::string site_text(const RepresentationConfig& config);
/// "low_rank_dimension 4, map \"auto\"": what its config says beyond place and type.
std::string options_text(const SavedFolder& saved, std::size_t representation);

/// README.md of a folder for a hub: YAML front matter, what is inside, metrics where the folder has some, how to load
/// it. `name`: user/name; `base_model`: the model on the hub that the interventions are for; may be empty.
std::string model_card(const SavedFolder& saved, const std::string& name, const std::string& base_model);

}  // namespace vene::cli
