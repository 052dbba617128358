// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "models/common/check_weights.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace vene::models {

void load_parameters(torch::nn::Module& module, const std::string& path) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> places;
  for (auto& item : module.named_parameters()) places[item.key()] = item.value();
  for (auto& item : module.named_buffers()) places[item.key()] = item.value();
  io::Leftovers leftovers;  // what is absent, the check below names
  const io::NamedTensors tensors = io::read_tensors(path, &leftovers);
  const std::map<std::string, torch::Tensor> values(tensors.begin(), tensors.end());
  check_weights(places, values, path, "this module");
  for (auto& [name, place] : places) place.copy_(values.at(name));
}

}  // namespace vene::models
