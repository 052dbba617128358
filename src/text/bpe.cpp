// SPDX-License-Identifier: Apache-2.0
#include "src/text/bpe.h"

#include <algorithm>
#include <queue>

#include "src/base/readable.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

constexpr std::size_t kTableOfCharacters = 0x10000;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options, const std::string& where)
    : SubwordModel(std::move(vocabulary)), options_(std::move(options)) {
  characters_.assign(kTableOfCharacters, -1);
  std::fill(std::begin(bytes_), std::end(bytes_), -1);
  vocabulary_.each([&](const std::string& piece, std::int64_t id) {
    if (piece.empty() || piece.size() > 4) return;
    std::size_t at = 0;
    const std::uint32_t code = next_code(piece, at);
    if (at == piece.size() && code < kTableOfCharacters) characters_[code] = static_cast<std::int32_t>(id);
  });
  for (int byte = 0; byte < 256; ++byte) {
    char spelled[8];
    std::snprintf(spelled, sizeof spelled, "<0x%02X>", static_cast<unsigned>(byte));
    bytes_[byte] = static_cast<std::int32_t>(vocabulary_.id(spelled).value_or(-1));
  }
  if (options_.unknown) unknown_ = static_cast<std::int32_t>(vocabulary_.id(*options_.unknown).value_or(-1));
  std::int32_t rank = 0;
  for (const auto& [left, right] : merges) {
    const std::size_t cut = std::min(options_.prefix.size(), right.size());
    const auto a = vocabulary_.id(left), b = vocabulary_.id(right), made = vocabulary_.id(left + right.substr(cut));
    if (!a || !b || !made) {
      throw IoError(where + ": merge " + std::to_string(rank) + " ('" + shortened(left) + "' with '" +
                    shortened(right) + "') is of pieces that are not in the vocabulary");
    }
    merges_[pair_key(static_cast<std::int32_t>(*a), static_cast<std::int32_t>(*b))] = {
        rank++, static_cast<std::int32_t>(*made)};
  }
}

const Bpe::Merge* Bpe::merge(std::int32_t left, std::int32_t right) const {
  return merges_.find(pair_key(left, right));
}

std::int32_t Bpe::character_id(std::string_view word, std::size_t first, std::size_t last, std::uint32_t code) const {
  const bool prefixed = first > 0 && !options_.prefix.empty();
  const bool suffixed = last == word.size() && !options_.suffix.empty();
  const std::string_view character = word.substr(first, last - first);
  if (prefixed || suffixed) {
    std::string piece = prefixed ? options_.prefix : "";
    piece += character;
    if (suffixed) piece += options_.suffix;
    return static_cast<std::int32_t>(vocabulary_.id(piece).value_or(-1));
  }
  // What is no UTF-8 reads as U+FFFD, and is not that.
  if (code < kTableOfCharacters && code != kReplacement) return characters_[code];
  return static_cast<std::int32_t>(vocabulary_.id(character).value_or(-1));
}

void Bpe::split(std::string_view word, std::vector<Symbol>& symbols) const {
  // A symbol's place is where the ones before it end, as in the tokenizers library: of a word with characters that are
  // left out, what follows them moves to the front.
  std::size_t placed = 0;
  const auto add = [&](std::int32_t id, std::size_t size) {
    const auto at = static_cast<std::int32_t>(symbols.size());
    const std::size_t first = std::min(placed, word.size());
    placed = std::min(first + size, word.size());
    symbols.push_back({id, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(placed), at - 1, at + 1});
  };
  // An unknown token waits for what follows: it may grow, and, as in the tokenizers library, bytes pass it by.
  bool waiting = false;
  std::size_t unknown_size = 0;
  const auto flush = [&] {
    if (waiting) add(unknown_, unknown_size);
    waiting = false;
    unknown_size = 0;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t first = at;
    const std::uint32_t code = next_code(word, at);
    if (const std::int32_t id = character_id(word, first, at, code); id >= 0) {
      flush();
      add(id, at - first);
      continue;
    }
    if (options_.byte_fallback) {
      // With a prefix or suffix the bytes of those are spelled too.
      std::string spelled = first > 0 ? options_.prefix : "";
      spelled += word.substr(first, at - first);
      if (at == word.size()) spelled += options_.suffix;
      if (std::all_of(spelled.begin(), spelled.end(),
                      [&](char byte) { return bytes_[static_cast<unsigned char>(byte)] >= 0; })) {
        for (char byte : spelled) add(bytes_[static_cast<unsigned char>(byte)], 1);
        continue;
      }
    }
    if (!options_.unknown) continue;
    if (unknown_ < 0)
      throw Error("the tokenizer's unk_token '" + shortened(*options_.unknown) + "' is not in its vocabulary");
    if (waiting && !options_.fuse_unknown) flush();
    unknown_size += at - first;
    waiting = true;
  }
  flush();
  if (!symbols.empty()) symbols.back().next = -1;
}

// The merge of lowest rank, and of those the leftmost, until there is none: for words of a few characters.
void Bpe::merge_few(std::vector<Symbol>& symbols) const {
  constexpr std::size_t kMost = 32;
  const Merge* of[kMost];  // of a symbol with the next
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) of[i] = merge(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    std::size_t best = count;
    std::int32_t rank = INT32_MAX;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (of[i] != nullptr && of[i]->rank < rank) {
        rank = of[i]->rank;
        best = i;
      }
    }
    if (best == count) break;
    symbols[best].id = of[best]->id;
    symbols[best].last = symbols[best + 1].last;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      of[i] = of[i + 1];
    }
    --count;
    if (best + 1 < count) of[best] = merge(symbols[best].id, symbols[best + 1].id);
    if (best > 0) of[best - 1] = merge(symbols[best - 1].id, symbols[best].id);
  }
  symbols.resize(count);
}

// The same with a list and a queue: n log n for a word of any length.
void Bpe::merge_many(std::vector<Symbol>& symbols) const {
  struct Candidate {
    std::int32_t rank, at, made;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto symbol = [&](std::int32_t at) -> Symbol& { return symbols[static_cast<std::size_t>(at)]; };
  const auto consider = [&](std::int32_t at) {
    if (at < 0 || symbol(at).next < 0) return;
    if (const Merge* found = merge(symbol(at).id, symbol(symbol(at).next).id)) queue.push({found->rank, at, found->id});
  };
  for (std::size_t at = 0; at < symbols.size(); ++at) consider(static_cast<std::int32_t>(at));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.at);
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbol(left.next);
    const Merge* now = merge(left.id, right.id);
    if (now == nullptr || now->id != best.made) continue;  // merged otherwise meanwhile
    left.id = best.made;
    left.last = right.last;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  std::erase_if(symbols, [](const Symbol& one) { return one.id < 0; });
}

void Bpe::encode(std::string_view word, std::vector<Subword>& pieces) const {
  if (options_.whole_words) {
    if (const auto whole = vocabulary_.id(word)) {
      pieces.push_back({*whole, 0, static_cast<std::uint32_t>(word.size())});
      return;
    }
  }
  thread_local std::vector<Symbol> symbols;
  symbols.clear();
  split(word, symbols);
  if (symbols.size() > 1) symbols.size() <= 32 ? merge_few(symbols) : merge_many(symbols);
  for (const Symbol& one : symbols) pieces.push_back({one.id, one.first, one.last});
  if (symbols.capacity() > 4096) std::vector<Symbol>().swap(symbols);
}

std::unique_ptr<SubwordModel> read_bpe(const Part& part) {
  if (part.has("dropout")) {
    const detail::Json& dropout = part.at("dropout").json();
    if (!dropout.is_number() || dropout.get<double>() != 0.0)
      part.fail("a dropout of " + detail::json_text(dropout) +
                " would cut a text differently each time; expected 0 or null");
  }
  Vocabulary vocabulary = Vocabulary::read(part, "vocab");
  const detail::Json& merges = part.at("merges").json();
  if (!merges.is_array()) part.fail("expected a list 'merges'");
  Bpe::Merges pairs;
  const std::string where = part.where();
  for (const detail::Json& merge : merges) {
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        part.fail("merges: '" + shortened(text) + "' is not two pieces");
      pairs.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      pairs.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      part.fail("merges: expected two pieces each, got " + detail::json_text(merge));
    }
  }
  BpeOptions options;
  options.unknown = part.text_if("unk_token");
  options.prefix = part.text_if("continuing_subword_prefix").value_or("");
  options.suffix = part.text_if("end_of_word_suffix").value_or("");
  options.fuse_unknown = part.flag("fuse_unk", false);
  options.byte_fallback = part.flag("byte_fallback", false);
  options.whole_words = part.flag("ignore_merges", false);
  return std::make_unique<Bpe>(std::move(vocabulary), pairs, std::move(options), where);
}

}  // namespace vene::text
