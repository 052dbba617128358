// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace vene::models {

void load_parameters(torch::nn::Module& module, const std::string& path) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> places;
  for (auto& item : module.named_parameters()) places[item.key()] = item.value();
  for (auto& item : module.named_buffers()) places[item.key()] = item.value();
  std::vector<std::string> missing, misshapen, extra;
  const io::NamedTensors tensors = io::read_tensors(path);
  std::map<std::string, torch::Tensor> values(tensors.begin(), tensors.end());
  for (const auto& [name, place] : places) {
    const auto found = values.find(name);
    if (found == values.end()) {
      missing.push_back(name);
    } else if (found->second.sizes() != place.sizes()) {
      misshapen.push_back(name + " is " + shape_text(found->second.sizes()) + ", expected " + shape_text(place.sizes()));
    }
  }
  for (const auto& [name, value] : values) {
    if (!places.contains(name)) extra.push_back(name + name_hint(name, missing));
  }
  std::vector<std::string> problems;
  if (!missing.empty()) problems.push_back("tensors are missing: " + join(missing));
  if (!misshapen.empty()) problems.push_back("tensors have the wrong shape: " + join(misshapen));
  if (!extra.empty()) problems.push_back("tensors belong to nothing in this module: " + join(extra));
  if (!problems.empty()) throw ModelError(path + ": " + join(problems, "; "));
  for (auto& [name, place] : places) place.copy_(values.at(name));
}

}  // namespace vene::models
