// SPDX-License-Identifier: Apache-2.0
#include "src/text/bpe.h"

#include <array>
#include <queue>

#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

constexpr std::int64_t kMostIds = std::int64_t{1} << 24;

const std::array<std::uint32_t, 256>& spelling_codes() {
  static const std::array<std::uint32_t, 256> kCodes = [] {
    std::array<std::uint32_t, 256> codes{};
    std::uint32_t next = 256;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      codes[byte] = visible ? byte : next++;
    }
    return codes;
  }();
  return kCodes;
}

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint64_t>(right);
}

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelled) {
  static const std::unordered_map<std::uint32_t, char> kBytes = [] {
    std::unordered_map<std::uint32_t, char> bytes;
    for (std::uint32_t byte = 0; byte < 256; ++byte) bytes[spelling_codes()[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  std::string bytes;
  for (std::uint32_t code : code_points(spelled)) {
    const auto found = kBytes.find(code);
    if (found == kBytes.end()) return std::nullopt;
    bytes += found->second;
  }
  return bytes;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string spelled;
  for (unsigned char byte : bytes) spelled += utf8(spelling_codes()[byte]);
  return spelled;
}

Bpe::Bpe(std::unordered_map<std::string, std::int64_t> vocabulary, const Merges& merges, bool whole_words,
         const std::string& where)
    : vocabulary_(std::move(vocabulary)), whole_words_(whole_words) {
  std::fill(std::begin(byte_ids_), std::end(byte_ids_), -1);
  for (const auto& [piece, id] : vocabulary_) {
    if (id < 0 || id >= kMostIds) throw IoError(where + ": token '" + piece + "' has id " + std::to_string(id));
    if (static_cast<std::size_t>(id) >= bytes_.size()) {
      bytes_.resize(static_cast<std::size_t>(id) + 1);
      known_.resize(bytes_.size(), false);
    }
    // A piece that is not spelled in bytes is a special token, and stands for itself.
    const std::optional<std::string> bytes = bytes_of_spelling(piece);
    bytes_[static_cast<std::size_t>(id)] = bytes.value_or(piece);
    known_[static_cast<std::size_t>(id)] = true;
    if (!bytes) continue;
    by_bytes_[*bytes] = id;
    if (bytes->size() == 1) byte_ids_[static_cast<unsigned char>((*bytes)[0])] = id;
  }
  std::int64_t rank = 0;
  for (const auto& [left, right] : merges) {
    const auto a = vocabulary_.find(left);
    const auto b = vocabulary_.find(right);
    const auto made = vocabulary_.find(left + right);
    if (a == vocabulary_.end() || b == vocabulary_.end() || made == vocabulary_.end()) {
      throw IoError(where + ": merge " + std::to_string(rank) + " ('" + left + "' with '" + right +
                    "') is of pieces that are not in the vocabulary");
    }
    merges_.emplace(pair_key(a->second, b->second), Merge{rank++, made->second});
  }
}

const std::string* Bpe::bytes(std::int64_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= bytes_.size() || !known_[static_cast<std::size_t>(id)]) return nullptr;
  return &bytes_[static_cast<std::size_t>(id)];
}

std::vector<std::pair<std::int64_t, std::int64_t>> Bpe::encode(std::string_view word) const {
  if (whole_words_) {
    if (const auto whole = by_bytes_.find(std::string(word)); whole != by_bytes_.end())
      return {{whole->second, static_cast<std::int64_t>(word.size())}};
  }
  // A linked list of pieces, and a queue of possible merges: n log n for a word of any length.
  struct Piece {
    std::int64_t id, size, previous, next;
  };
  std::vector<Piece> pieces;
  for (unsigned char byte : word) {
    const auto at = static_cast<std::int64_t>(pieces.size());
    pieces.push_back({byte_ids_[byte], 1, at - 1, at + 1});
  }
  if (!pieces.empty()) pieces.back().next = -1;
  struct Candidate {
    std::int64_t rank, at, left, right, made;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  auto consider = [&](std::int64_t at) {
    if (at < 0 || pieces[static_cast<std::size_t>(at)].next < 0) return;
    const Piece& left = pieces[static_cast<std::size_t>(at)];
    const Piece& right = pieces[static_cast<std::size_t>(left.next)];
    if (left.id < 0 || right.id < 0) return;
    const auto merge = merges_.find(pair_key(left.id, right.id));
    if (merge != merges_.end()) queue.push({merge->second.rank, at, left.id, right.id, merge->second.id});
  };
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(pieces.size()); ++at) consider(at);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Piece& left = pieces[static_cast<std::size_t>(best.at)];
    if (left.size == 0 || left.next < 0 || left.id != best.left ||
        pieces[static_cast<std::size_t>(left.next)].id != best.right)
      continue;  // merged meanwhile
    Piece& right = pieces[static_cast<std::size_t>(left.next)];
    left.id = best.made;
    left.size += right.size;
    right.size = 0;
    left.next = right.next;
    if (left.next >= 0) pieces[static_cast<std::size_t>(left.next)].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> encoded;
  std::int64_t dropped = 0;
  for (std::int64_t at = pieces.empty() ? -1 : 0; at >= 0; at = pieces[static_cast<std::size_t>(at)].next) {
    const Piece& piece = pieces[static_cast<std::size_t>(at)];
    if (piece.id < 0) {
      dropped += piece.size;
      continue;
    }
    encoded.emplace_back(piece.id, piece.size + dropped);
    dropped = 0;
  }
  return encoded;
}

}  // namespace vene::text
