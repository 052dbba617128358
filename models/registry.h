// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/common/config_reader.h"
#include "vene/models/model.h"

namespace vene::models {

/// What the loader must know of an architecture.
struct Family {
  std::string model_type;
  std::string prefix;  ///< of the headless model's parameters: "transformer."
  std::shared_ptr<Model> (*build)(const ConfigReader& config, bool head);
  std::vector<std::string> ignored;  ///< endings of tensors in old checkpoints that are no parameters
};

/// Every built-in architecture: the one list.
const std::vector<Family>& families();
/// ModelError, naming those supported, for another model_type.
const Family& family_of(const ConfigReader& config);

}  // namespace vene::models
