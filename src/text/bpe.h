// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding over a vocabulary of byte strings. Private to text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vene::text {

/// GPT-2's spelling of bytes as visible characters ("Ġ" is a space), undone. nullopt where a character is not of it.
std::optional<std::string> bytes_of_spelling(std::string_view spelled);
std::string spelling_of_bytes(std::string_view bytes);

class Bpe {
 public:
  using Merges = std::vector<std::pair<std::string, std::string>>;  ///< as spelled in the files
  /// @param vocabulary  spelled piece -> id
  /// @param whole_words words that are in the vocabulary are taken whole, whatever the merges say ("ignore_merges")
  /// Throws IoError, with `where` in front, for merges of pieces that are not in the vocabulary.
  Bpe(std::unordered_map<std::string, std::int64_t> vocabulary, const Merges& merges, bool whole_words,
      const std::string& where);

  /// Ids of one word's bytes, and the number of bytes of each. A byte that the vocabulary lacks is left out.
  std::vector<std::pair<std::int64_t, std::int64_t>> encode(std::string_view word) const;
  const std::unordered_map<std::string, std::int64_t>& vocabulary() const { return vocabulary_; }
  /// Bytes of an id; nullptr if it has none.
  const std::string* bytes(std::int64_t id) const;

 private:
  struct Merge {
    std::int64_t rank, id;
  };
  std::unordered_map<std::string, std::int64_t> vocabulary_;  // spelled
  std::unordered_map<std::string, std::int64_t> by_bytes_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::vector<std::string> bytes_;
  std::vector<bool> known_;
  std::int64_t byte_ids_[256];
  bool whole_words_;
};

}  // namespace vene::text
