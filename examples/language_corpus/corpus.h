// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "facts.h"

namespace language_corpus {

/// Writes documents of one to six sentences: facts in all their phrasings, behind lead-ins of different lengths, among
/// sentences that say nothing. Whether a document opens with a fact, how many words stand before one, and which facts
/// stand together is all drawn at random, so that only the subject tells the answer. The same seed gives the same
/// documents on every machine.
class Corpus {
 public:
  explicit Corpus(std::uint64_t seed) : random_(seed) {}
  std::string document();
  /// A sentence with its fact, without anything before it.
  std::string fact_sentence();

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }
  template <class T>
  const T& pick(const std::vector<T>& list) {
    return list[below(list.size())];
  }
  std::string statement();         ///< a fact with its answer, in lower case and without a full stop
  std::string pronoun_sentence();  ///< the same for a name
  std::string lead_in();           ///< "my uncle wrote that", or nothing
  std::string filler();

  std::mt19937_64 random_;
};

}  // namespace language_corpus
