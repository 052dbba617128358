// SPDX-License-Identifier: Apache-2.0
// The byte-level BPE tokenizers: GPT-2, GPT-NeoX, Llama 3, Qwen. Private to text.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/text/bpe.h"
#include "src/text/unicode.h"
#include "vene/text/tokenizer.h"

namespace vene::text {

/// GPT-2's way to cut a text into words.
inline constexpr const char* kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A token outside the vocabulary's merges, found in the text as it stands.
struct AddedToken {
  std::int64_t id = 0;
  std::string content;
  bool special = false, left_strip = false, right_strip = false, single_word = false, normalized = false;
};

/// One step of cutting text into words.
struct WordStep {
  enum class Kind { kPattern, kDigits } kind = Kind::kPattern;
  std::shared_ptr<const Pattern> pattern;
  bool drop_matches = false;  ///< matches are separators
  bool matches_only = false;  ///< what lies between matches is dropped
  bool single_digits = false;
};

struct ByteLevelParts {
  std::shared_ptr<const Bpe> bpe;
  std::vector<std::string> normal_forms;  ///< "NFC" ...
  std::vector<WordStep> words;
  bool prefix_space = false;
  std::vector<AddedToken> added;
  std::vector<std::int64_t> front, behind;  ///< ids that `special` adds
};

class ByteLevelTokenizer : public Tokenizer {
 public:
  explicit ByteLevelTokenizer(ByteLevelParts parts);
  std::vector<Token> tokens(std::string_view text, bool special) const override;
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special) const override;
  std::string token_text(std::int64_t id) const override;
  std::optional<std::int64_t> id_of(std::string_view piece) const override;
  std::int64_t size() const override { return size_; }
  std::string kind() const override { return "byte-level BPE"; }

  void set_special(std::optional<std::int64_t> bos, std::optional<std::int64_t> eos, std::optional<std::int64_t> pad);
  void set_added_around(bool bos, bool eos);

 private:
  using Finder = std::map<char, std::vector<const AddedToken*>>;  // by first byte, longest first
  struct Found {
    std::size_t begin, end;
    const AddedToken* token;
  };
  static std::vector<Found> find_added(const Finder& finder, std::string_view text);
  void encode_plain(std::string_view text, std::int64_t offset, std::vector<Token>& tokens, bool first) const;
  /// Bytes [first, last) of a normalised text; `offset` is added to the places of the tokens.
  void encode_words(const Normalised& normal, std::size_t first, std::size_t last, std::int64_t offset,
                    std::vector<Token>& tokens, bool prefix) const;

  ByteLevelParts parts_;
  Finder raw_, normalized_;
  std::unordered_map<std::int64_t, const AddedToken*> added_by_id_;
  std::int64_t size_ = 0;
};

}  // namespace vene::text
