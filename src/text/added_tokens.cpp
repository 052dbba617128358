// SPDX-License-Identifier: Apache-2.0
#include "src/text/added_tokens.h"

#include <algorithm>

#include "src/text/unicode.h"

namespace vene::text {
namespace {

// The begin of the character that ends at byte `end`.
std::size_t character_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}
std::uint32_t code_before(std::string_view text, std::size_t end) {
  std::size_t at = character_before(text, end);
  return next_code(text, at);
}
std::uint32_t code_at(std::string_view text, std::size_t at) {
  return next_code(text, at);
}

}  // namespace

void TokenFinder::add(const AddedToken* token) {
  if (tokens_.empty()) tokens_.push_back(nullptr);  // the root
  std::uint32_t node = 0;
  first_bytes_[static_cast<unsigned char>(token->pattern[0])] = true;
  for (unsigned char byte : token->pattern) {
    std::uint32_t& child = children_[static_cast<std::uint64_t>(node) << 8 | byte];
    if (child == 0) {
      child = static_cast<std::uint32_t>(tokens_.size());
      tokens_.push_back(nullptr);
    }
    node = child;
  }
  tokens_[node] = token;
}

const AddedToken* TokenFinder::longest(std::string_view text, std::size_t at) const {
  const AddedToken* found = nullptr;
  std::uint32_t node = 0;
  for (; at < text.size(); ++at) {
    const std::uint32_t* child =
        children_.find(static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(text[at]));
    if (child == nullptr) break;
    node = *child;
    if (tokens_[node] != nullptr) found = tokens_[node];
  }
  return found;
}

void TokenFinder::cut(Cut& cut, bool read_special) const {
  if (tokens_.empty() || cut.pieces.empty()) return;
  std::vector<Piece> finer;
  const auto put = [&](std::size_t first, std::size_t last, const AddedToken* token) {
    if (last > first) finer.push_back({first, last, cut.place(first, first + 1).begin, token});
  };
  for (const Piece& piece : cut.pieces) {
    if (piece.token != nullptr) {
      finer.push_back(piece);
      continue;
    }
    const std::string_view text = cut.view(piece);
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const AddedToken* token = nullptr;
      if (first_bytes_[static_cast<unsigned char>(text[at])]) token = longest(text, at);
      if (token == nullptr) {
        ++at;
        continue;
      }
      std::size_t begin = at, end = at + token->pattern.size();
      at = end;
      if (token->special && !read_special) continue;
      if (token->single_word &&
          ((begin > 0 && is_word(code_before(text, begin))) || (end < text.size() && is_word(code_at(text, end)))))
        continue;
      if (token->left_strip) {
        while (begin > done && is_space(code_before(text, begin))) begin = character_before(text, begin);
      }
      begin = std::max(begin, done);
      if (token->right_strip) {
        for (std::size_t next = end; next < text.size() && is_space(next_code(text, next));) end = next;
      }
      if (end <= begin) continue;
      put(piece.first + done, piece.first + begin, nullptr);
      put(piece.first + begin, piece.first + end, token);
      done = end;
    }
    put(piece.first + done, piece.last, nullptr);
  }
  cut.pieces = std::move(finer);
}

void AddedTokens::add(AddedToken token) {
  if (const auto known = by_content_.find(token.content); known != by_content_.end()) {
    AddedToken& old = all_[known->second];
    token.id = old.id;
    token.special = token.special || old.special;
    old = std::move(token);
    return;
  }
  by_id_[token.id] = all_.size();
  by_content_[token.content] = all_.size();
  all_.push_back(std::move(token));
}

const AddedToken* AddedTokens::by_id(std::int64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &all_[found->second];
}
const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &all_[found->second];
}

}  // namespace vene::text
