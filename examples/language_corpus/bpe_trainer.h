// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace language_corpus {

/// A byte-level BPE as GPT-2's, learned from texts in ASCII: merges of the most frequent neighbours within words, a
/// word being letters, digits or other signs with the space in front of them.
class BpeTrainer {
 public:
  /// Learns until there are `vocabulary` entries, "<|endoftext|>" (the last) included, or no pair is left.
  BpeTrainer(const std::vector<std::string>& texts, std::int64_t vocabulary);

  std::vector<std::int64_t> encode(const std::string& text);
  std::int64_t end_of_text() const { return static_cast<std::int64_t>(pieces_.size()); }
  std::int64_t size() const { return end_of_text() + 1; }
  /// vocab.json and merges.txt in GPT-2's format.
  std::string vocab_json() const;
  std::string merges_text() const;

  static std::vector<std::string> words(const std::string& text);

 private:
  std::vector<std::string> pieces_;  // raw bytes of each id
  std::vector<std::pair<std::int64_t, std::int64_t>> merges_;
  std::unordered_map<std::uint64_t, std::int64_t> merged_;  // pair of ids -> the id that it makes
  std::unordered_map<std::string, std::vector<std::int64_t>> known_;
};

}  // namespace language_corpus
