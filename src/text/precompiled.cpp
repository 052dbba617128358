// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model's own table of replacements: the size of a double array trie in bytes, the trie (units of 32
// bits, as the darts-clone library lays them out), and the replacements, each ended by a NUL.
#include <cstring>
#include <optional>

#include "src/text/normalizers.h"
#include "src/text/unicode.h"

namespace vene::text {
namespace {

std::optional<std::string> from_base64(std::string_view text) {
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return bytes;
}

class Precompiled : public Step {
 public:
  Precompiled(std::vector<std::uint32_t> trie, std::string replacements)
      : trie_(std::move(trie)), replacements_(std::move(replacements)) {}

  void apply(Cut& cut) const override {
    Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
      const std::string_view text = cut.view(piece);
      std::vector<Change> changes;
      std::size_t begin = 0;
      for (std::size_t end : grapheme_ends(text)) {
        cluster(text.substr(begin, end - begin), changes);
        begin = end;
      }
      transform(cut, piece, changes, to);
    });
  }

 private:
  // A short cluster as a whole, else its characters.
  void cluster(std::string_view cluster, std::vector<Change>& changes) const {
    if (cluster.size() < 6) {
      if (const auto made = replacement(cluster)) return replace(cluster, *made, changes);
    }
    for (std::size_t at = 0; at < cluster.size();) {
      const std::size_t first = at;
      const std::uint32_t code = next_code(cluster, at);
      const std::string_view character = cluster.substr(first, at - first);
      if (const auto made = replacement(character))
        replace(character, *made, changes);
      else
        changes.push_back({code, 0});
    }
  }

  static void replace(std::string_view old, std::string_view made, std::vector<Change>& changes) {
    const auto before = static_cast<int>(code_points(old).size());
    int after = 0;
    for (std::uint32_t code : code_points(made)) changes.push_back({code, after++ < before ? 0 : 1});
    if (after < before && !changes.empty()) changes.back().change += after - before;
  }

  // What the trie's shortest prefix of the text becomes.
  std::optional<std::string_view> replacement(std::string_view text) const {
    const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); };
    std::size_t at = 0;
    if (trie_.empty()) return std::nullopt;
    at ^= offset(trie_[at]);
    for (unsigned char byte : text) {
      if (byte == 0) return std::nullopt;
      at ^= byte;
      if (at >= trie_.size()) return std::nullopt;
      const std::uint32_t unit = trie_[at];
      if ((unit & (1U << 31 | 0xFF)) != byte) return std::nullopt;
      at ^= offset(unit);
      if (at >= trie_.size()) return std::nullopt;
      if ((unit >> 8 & 1) != 0) {
        const std::size_t found = trie_[at] & ((1U << 31) - 1);
        if (found >= replacements_.size()) return std::nullopt;
        return std::string_view(replacements_.c_str() + found);
      }
    }
    return std::nullopt;
  }

  std::vector<std::uint32_t> trie_;
  std::string replacements_;
};

}  // namespace

std::unique_ptr<Step> precompiled_normalizer(std::string charsmap, const Part& part) {
  const std::optional<std::string> bytes = from_base64(charsmap);
  std::uint32_t size = 0;
  if (!bytes || bytes->size() < sizeof size) part.fail("precompiled_charsmap is no table of replacements");
  std::memcpy(&size, bytes->data(), sizeof size);
  if (size % 4 != 0 || size > bytes->size() - sizeof size)
    part.fail("precompiled_charsmap is cut: its trie is to have " + std::to_string(size) + " bytes, there are " +
              std::to_string(bytes->size() - sizeof size));
  std::vector<std::uint32_t> trie(size / 4);
  if (size > 0) std::memcpy(trie.data(), bytes->data() + sizeof size, size);
  return std::make_unique<Precompiled>(std::move(trie), bytes->substr(sizeof size + size));
}

}  // namespace vene::text
