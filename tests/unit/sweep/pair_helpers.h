// SPDX-License-Identifier: Apache-2.0
// What the tests of jobs on pairs of prompts share.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tests/places.h"
#include "vene/models/load.h"
#include "vene/sweep/pairs.h"

namespace vene_test {

/// A model by its folder in the checkout.
inline vene::models::LanguageModel load(const std::string& folder) {
  return vene::models::load(std::string(kSourceFolder) + "/" + folder);
}

inline vene::PromptPair pair_of(std::vector<std::int64_t> clean, std::vector<std::int64_t> corrupt,
                                std::vector<std::int64_t> answers) {
  vene::PromptPair pair;
  pair.clean = std::move(clean);
  pair.corrupt = std::move(corrupt);
  pair.answers = std::move(answers);
  return pair;
}

}  // namespace vene_test
