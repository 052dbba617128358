// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vene::models {

/// "2 tensors are missing: a, b"; at most some of the names.
std::string tensors_problem(const std::vector<std::string>& names, const std::string& one, const std::string& many);

/// How `check_weights` speaks of tensors, and what it does about those too many.
struct WeightNames {
  std::function<std::string(const std::string&)> in_file{};  ///< what the file calls a tensor; none: the same
  std::vector<std::string>* extra = nullptr;                 ///< takes the names of tensors too many; null: an error
  std::string extra_hint{};                                  ///< behind the list of these
};

/// ModelError, with all that is wrong, unless the weights are those of the places, name by name, shape by shape and
/// kind of number by kind of number.
/// @param whose  what the places are of, such as "this model"
void check_weights(const std::map<std::string, torch::Tensor>& places,
                   const std::map<std::string, torch::Tensor>& weights, const std::string& where,
                   const std::string& whose, const WeightNames& names = {});

}  // namespace vene::models
