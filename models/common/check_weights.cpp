// SPDX-License-Identifier: Apache-2.0
#include "models/common/check_weights.h"

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

bool is_weight_type(torch::ScalarType type) {
  return type == torch::kFloat32 || type == torch::kFloat16 || type == torch::kBFloat16 || type == torch::kFloat64;
}

// Up to five names and how many more.
std::string some(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const std::vector<std::string> first(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return join(first) + (names.size() > kShown ? " and " + std::to_string(names.size() - kShown) + " more" : "");
}

}  // namespace

std::string tensors_problem(const std::vector<std::string>& names, const std::string& one, const std::string& many) {
  return std::to_string(names.size()) + (names.size() == 1 ? " tensor " + one : " tensors " + many) + ": " +
         some(names);
}

void check_weights(const std::map<std::string, torch::Tensor>& places,
                   const std::map<std::string, torch::Tensor>& weights, const std::string& where,
                   const std::string& whose, const WeightNames& names) {
  const auto in_file = [&](const std::string& name) { return names.in_file ? names.in_file(name) : name; };
  std::vector<std::string> missing, misshapen, unusable, extra;
  for (const auto& [name, place] : places) {
    const auto found = weights.find(name);
    if (found == weights.end()) {
      missing.push_back(in_file(name));
    } else if (found->second.sizes() != place.sizes()) {
      misshapen.push_back(in_file(name) + " is " + shape_text(found->second.sizes()) + ", expected " +
                          shape_text(place.sizes()));
    } else if (is_weight_type(place.scalar_type()) && !is_weight_type(found->second.scalar_type())) {
      unusable.push_back(in_file(name) + " is " + c10::toString(found->second.scalar_type()) +
                         ", expected Float, Half or BFloat16");
    }
  }
  for (const auto& [name, tensor] : weights) {
    if (!places.contains(name)) extra.push_back(in_file(name) + (names.extra ? "" : name_hint(in_file(name), missing)));
  }
  if (names.extra != nullptr) names.extra->swap(extra);
  std::vector<std::string> problems;
  if (!missing.empty()) problems.push_back(tensors_problem(missing, "is missing", "are missing"));
  if (!misshapen.empty()) problems.push_back(tensors_problem(misshapen, "has the wrong shape", "have the wrong shape"));
  if (!unusable.empty()) problems.push_back(tensors_problem(unusable, "has the wrong type", "have the wrong type"));
  if (!extra.empty())
    problems.push_back(tensors_problem(extra, "belongs to nothing in " + whose, "belong to nothing in " + whose) +
                       names.extra_hint);
  if (!problems.empty()) throw ModelError(where + ": " + join(problems, "; "));
}

}  // namespace vene::models
