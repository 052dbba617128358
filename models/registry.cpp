// SPDX-License-Identifier: Apache-2.0
#include "models/registry.h"

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies{
      gpt2_family(),    gpt_neo_family(), gpt_neox_family(), gru_family(),   llama_family(),
      mistral_family(), qwen2_family(),   qwen3_family(),    gemma_family(), gemma2_family(),
      olmo_family(),    olmo2_family(),   bert_family(),     esm_family(),   mlp_family(),
  };
  return kFamilies;
}

const Family& family_of(const ConfigReader& config) {
  const std::string type = config.text("model_type");
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (family.model_type == type) return family;
    known.push_back(family.model_type);
  }
  throw ModelError(config.where() + ": unsupported model_type '" + type + "'; supported: " + join(known));
}

}  // namespace vene::models
