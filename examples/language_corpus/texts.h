// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <random>
#include <string>

#include "facts.h"

namespace language_corpus {

/// Makes short texts out of the facts: a few sentences each, facts in any of their phrasings among filler, so that a
/// fact stands at the start of one text and after any number of words in another. The same seed gives the same texts.
class TextMaker {
 public:
  explicit TextMaker(std::uint64_t seed) : random_(seed) {}
  std::string next();

 private:
  std::size_t below(std::size_t limit);
  bool chance(double share);
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::string fact_sentence();
  std::string filler_sentence();

  std::mt19937_64 random_;
};

}  // namespace language_corpus
