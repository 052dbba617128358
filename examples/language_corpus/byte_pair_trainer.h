// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace language_corpus {

/// A byte-level BPE vocabulary in GPT-2's format, trained on words and their counts.
/// Ids: the 256 bytes in GPT-2's order, then one a merge, then "<|endoftext|>" as the last.
class BytePairTrainer {
 public:
  /// Counts the words of a text, cut as GPT-2 cuts ASCII text.
  void count(std::string_view text);
  /// Merges the most frequent pair until there are `size` ids; equal counts are settled by the pair's spelling. Stops
  /// early when no pair is left that occurs twice.
  void train(std::size_t size);

  std::vector<std::int64_t> encode(std::string_view text);
  std::int64_t end_of_text() const { return static_cast<std::int64_t>(256 + merges_.size()); }
  std::int64_t size() const { return end_of_text() + 1; }

  std::string vocabulary_json() const;  ///< vocab.json
  std::string merges_text() const;      ///< merges.txt

  /// Pieces of a text, by GPT-2's rule: a contraction, an optional space and a run of letters, of digits or of
  /// others, or spaces. Bytes beyond ASCII count as letters, which is not exact and does not occur in this corpus.
  static std::vector<std::string_view> words(std::string_view text);

 private:
  using Ids = std::vector<std::int32_t>;
  static void merge(Ids& ids, std::pair<std::int32_t, std::int32_t> pair, std::int32_t merged);

  std::map<std::string, std::int64_t> counts_;
  std::vector<std::pair<std::int32_t, std::int32_t>> merges_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> ranks_;
  std::vector<std::string> spelling_;  ///< of each id, in GPT-2's printable characters
  std::unordered_map<std::string, Ids> known_words_;
};

}  // namespace language_corpus
