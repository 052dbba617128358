// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding. Private to text.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/text/flat_table.h"
#include "src/text/subword_model.h"

namespace vene::text {

struct BpeOptions {
  std::optional<std::string> unknown{};  ///< stands for characters that the vocabulary lacks; none: they are left out
  std::string prefix{};                  ///< of pieces that do not begin a word
  std::string suffix{};                  ///< of pieces that end one
  bool fuse_unknown = false;             ///< one unknown token for a run of such characters
  bool byte_fallback = false;            ///< "<0x0A>" for the bytes of a character that the vocabulary lacks
  bool whole_words = false;              ///< words of the vocabulary are taken whole, whatever the merges say
};

class Bpe : public SubwordModel {
 public:
  using Merges = std::vector<std::pair<std::string, std::string>>;  ///< as spelled in the files
  /// Throws IoError, with `where` in front, for merges of pieces that are not in the vocabulary.
  Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options, const std::string& where);
  void encode(std::string_view word, std::vector<Subword>& pieces) const override;
  std::string kind() const override { return "BPE"; }

 private:
  struct Merge {
    std::int32_t rank = 0, id = 0;
  };
  struct Symbol {
    std::int32_t id = 0;
    std::uint32_t first = 0, last = 0;
    std::int32_t previous = -1, next = -1;
  };
  std::int32_t character_id(std::string_view word, std::size_t first, std::size_t last, std::uint32_t code) const;
  void split(std::string_view word, std::vector<Symbol>& symbols) const;
  void merge_few(std::vector<Symbol>& symbols) const;
  void merge_many(std::vector<Symbol>& symbols) const;
  const Merge* merge(std::int32_t left, std::int32_t right) const;

  BpeOptions options_;
  std::vector<std::int32_t> characters_;  // ids of single characters by code point, -1: none
  std::int32_t bytes_[256];               // ids of "<0x00>" ..., -1: none
  std::int32_t unknown_ = -1;
  FlatTable<Merge> merges_;
};

}  // namespace vene::text
