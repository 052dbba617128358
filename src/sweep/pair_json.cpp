// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/pair_json.h"

namespace vene::detail {

nlohmann::ordered_json nested(const torch::Tensor& values) {
  if (values.dim() == 0) return values.item<double>();  // NaN is written as null
  if (values.dim() == 1) {
    const torch::Tensor row = values.to(torch::kFloat64).contiguous();
    return std::vector<double>(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (std::int64_t i = 0; i < values.size(0); ++i) list.push_back(nested(values[i]));
  return list;
}

nlohmann::ordered_json pair_values(const torch::Tensor& values) {
  return {{"mean", values.mean().item<double>()}, {"values", nested(values)}};
}

nlohmann::ordered_json pairs_json(const std::vector<PromptPair>& pairs) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const PromptPair& pair : pairs) {
    nlohmann::ordered_json entry{{"clean", pair.clean}};
    if (!pair.corrupt.empty()) entry["corrupt"] = pair.corrupt;
    if (!pair.answers.empty()) entry["answers"] = pair.answers;
    for (const PromptPair::Place& place : pair.positions) entry["positions"][place.name] = {place.clean, place.corrupt};
    if (pair.answer_position != -1) entry["answer_position"] = pair.answer_position;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace vene::detail
