// SPDX-License-Identifier: Apache-2.0
// Pairs and their figures as JSON. Private to the library.
#pragma once
#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "vene/sweep/pairs.h"

namespace vene::detail {

/// Lists in lists; NaN becomes null.
nlohmann::ordered_json nested(const torch::Tensor& values);
/// {"mean": ..., "values": [...]} of one figure a pair.
nlohmann::ordered_json pair_values(const torch::Tensor& values);
nlohmann::ordered_json pairs_json(const std::vector<PromptPair>& pairs);

}  // namespace vene::detail
