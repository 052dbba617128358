// SPDX-License-Identifier: Apache-2.0
// Tokens outside what the model cuts: found in the text as they stand. Private to text.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/text/cut.h"
#include "src/text/flat_table.h"

namespace vene::text {

struct AddedToken {
  std::int64_t id = 0;
  std::string content{};
  bool special = false, left_strip = false, right_strip = false, single_word = false, normalized = false;
  std::string pattern{};  ///< what is looked for: the content, normalised where that is asked for
};

/// Finds the leftmost, and of those the longest.
class TokenFinder {
 public:
  void add(const AddedToken* token);
  bool empty() const { return tokens_.empty(); }
  /// Cuts tokens off every piece that is none yet. `read_special` false: special ones are text.
  void cut(Cut& cut, bool read_special) const;

 private:
  const AddedToken* longest(std::string_view text, std::size_t at) const;
  bool first_bytes_[256] = {};
  FlatTable<std::uint32_t> children_;  // of a trie's node, by a byte
  std::vector<const AddedToken*> tokens_;
};

class AddedTokens {
 public:
  /// A token again replaces what is known of it, but not its id.
  void add(AddedToken token);
  /// To be called once, when all are there.
  template <class Normalize>
  void finish(Normalize normalized) {
    for (AddedToken& token : all_) {
      token.pattern = token.normalized ? normalized(token.content) : token.content;
      if (!token.pattern.empty()) (token.normalized ? behind_ : before_).add(&token);
    }
  }
  const AddedToken* by_id(std::int64_t id) const;
  const AddedToken* by_content(std::string_view content) const;
  const std::deque<AddedToken>& all() const { return all_; }
  const TokenFinder& before() const { return before_; }  ///< normalisation
  const TokenFinder& behind() const { return behind_; }

 private:
  std::deque<AddedToken> all_;
  std::unordered_map<std::int64_t, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_content_;
  TokenFinder before_, behind_;
};

}  // namespace vene::text
