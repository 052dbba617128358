// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vene/io/safetensors.h"
#include "vene/models/model.h"

/// The architectures that the training program knows: how each is made, begun and written.
namespace language_models {

/// "gpt2", "gpt_neox", "gru": by their model_type.
std::vector<std::string> architectures();

struct Sizes {
  std::string architecture = "gpt2";
  std::int64_t vocabulary = 2048, context = 128, width = 128, layers = 6, heads = 4;
};

/// A model with random weights, drawn from torch's generator.
std::shared_ptr<vene::models::Model> make(const Sizes& sizes);

/// config.json of a folder with the model in it. `end_of_text` begins and ends a text.
nlohmann::ordered_json config(const Sizes& sizes, std::int64_t end_of_text);

/// The weights under the names that checkpoints of the architecture use.
vene::io::NamedTensors weights(const Sizes& sizes, const vene::models::Model& model);

}  // namespace language_models
