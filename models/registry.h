// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
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
  std::string head = "lm_head";      ///< the path of the head
  /// Parts of tensors' names that checkpoints have in two spellings: the other one, and the one here.
  std::vector<std::pair<std::string, std::string>> renamed{};
  /// Takes out of a checkpoint's tensors, by their names here, what the model keeps beside its parameters; null:
  /// nothing. `where` is for errors.
  void (*take)(Model& model, std::map<std::string, torch::Tensor>& weights, const std::string& where) = nullptr;
};

// One a port, defined beside it with its reading of config.json.
Family bert_family();
Family esm_family();
Family gpt2_family();
Family gpt_neo_family();
Family gpt_neox_family();
Family gru_family();
Family llama_family();
Family mistral_family();
Family qwen2_family();
Family qwen3_family();
Family gemma_family();
Family gemma2_family();
Family olmo_family();
Family olmo2_family();
Family mlp_family();

/// Every built-in architecture: the one list.
const std::vector<Family>& families();
/// ModelError, naming those supported, for another model_type.
const Family& family_of(const ConfigReader& config);

}  // namespace vene::models
