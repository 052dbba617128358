// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "language_corpus/facts.h"
#include "vene/models/model.h"

/// How much of the corpus a model knows: the figures of the model cards.
namespace language_models {

using Encode = std::function<std::vector<std::int64_t>(const std::string&)>;

/// Probability of each prompt's whole answer. Prompts of equal lengths run together.
std::vector<double> answer_probabilities(vene::models::Model& model, const Encode& encode,
                                         const std::vector<language_corpus::Prompt>& prompts);

struct Count {
  int known = 0, all = 0;  ///< known: at probability 0.5 or more
};
/// By the prompts' kinds.
std::map<std::string, Count> count_known(const std::vector<language_corpus::Prompt>& prompts,
                                         const std::vector<double>& probabilities);

}  // namespace language_models
