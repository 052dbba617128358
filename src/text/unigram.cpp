// SPDX-License-Identifier: Apache-2.0
// Unigram: the way to cut a word whose pieces have the best sum of scores.
#include <algorithm>
#include <cmath>
#include <limits>

#include "src/base/readable.h"
#include "src/text/flat_table.h"
#include "src/text/subword_model.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

class Unigram : public SubwordModel {
 public:
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<std::int64_t> unknown, bool byte_fallback)
      : SubwordModel(std::move(vocabulary)),
        scores_(std::move(scores)),
        unknown_(unknown.value_or(-1)),
        byte_fallback_(byte_fallback) {
    constexpr double kUnknownPenalty = 10;
    unknown_score_ = (scores_.empty() ? 0 : *std::min_element(scores_.begin(), scores_.end())) - kUnknownPenalty;
    vocabulary_.each([&](const std::string& piece, std::int64_t id) {
      std::uint32_t node = 0;
      for (unsigned char byte : piece) {
        std::uint32_t& child = children_[key(node, byte)];
        if (child == 0) {
          child = static_cast<std::uint32_t>(ids_.size());
          ids_.push_back(-1);
        }
        node = child;
      }
      ids_[node] = static_cast<std::int32_t>(id);
    });
    for (unsigned byte = 0; byte < 256; ++byte) {
      char spelled[8];
      std::snprintf(spelled, sizeof spelled, "<0x%02X>", byte);
      bytes_[byte] = vocabulary_.id(spelled).value_or(-1);
    }
  }

  std::string kind() const override { return "Unigram"; }

  void encode(std::string_view word, std::vector<Subword>& pieces) const override {
    struct Best {  // path to a byte
      double score = 0;
      std::int64_t from = -1;
      std::int32_t id = 0;
    };
    std::vector<Best> best(word.size() + 1);
    const auto offer = [&](std::size_t end, std::size_t begin, double score, std::int32_t id) {
      if (best[end].from < 0 || score > best[end].score) best[end] = {score, static_cast<std::int64_t>(begin), id};
    };
    for (std::size_t begin = 0; begin < word.size();) {
      std::size_t behind = begin;  // of the character
      next_code(word, behind);
      bool single = false;
      std::uint32_t node = 0;
      for (std::size_t at = begin; at < word.size(); ++at) {
        const std::uint32_t* child = children_.find(key(node, static_cast<unsigned char>(word[at])));
        if (child == nullptr) break;
        node = *child;
        if (ids_[node] < 0) continue;
        offer(at + 1, begin, scores_[static_cast<std::size_t>(ids_[node])] + best[begin].score, ids_[node]);
        single = single || at + 1 == behind;
      }
      if (!single) {
        if (unknown_ < 0) fail(word.substr(begin, behind - begin));
        offer(behind, begin, unknown_score_ + best[begin].score, static_cast<std::int32_t>(unknown_));
      }
      begin = behind;
    }
    const std::size_t kept = pieces.size();
    for (std::size_t end = word.size(); end > 0;) {
      std::size_t begin = static_cast<std::size_t>(best[end].from);
      const std::int32_t id = best[end].id;
      while (id == unknown_ && begin > 0 && best[begin].id == unknown_)  // a run of them is one
        begin = static_cast<std::size_t>(best[begin].from);
      put(word.substr(begin, end - begin), id, begin, pieces);
      end = begin;
    }
    std::reverse(pieces.begin() + static_cast<std::ptrdiff_t>(kept), pieces.end());
  }

 private:
  static std::uint64_t key(std::uint32_t node, unsigned char byte) {
    return static_cast<std::uint64_t>(node) << 8 | byte;
  }
  [[noreturn]] static void fail(std::string_view what) {
    throw Error("the tokenizer has no token for '" + shortened(what) + "', and no unknown token");
  }

  // Back to front.
  void put(std::string_view text, std::int32_t id, std::size_t begin, std::vector<Subword>& pieces) const {
    const auto first = static_cast<std::uint32_t>(begin), last = static_cast<std::uint32_t>(begin + text.size());
    if (id != unknown_) {
      pieces.push_back({id, first, last});
      return;
    }
    if (const auto whole = vocabulary_.id(text)) {
      pieces.push_back({*whole, first, last});
      return;
    }
    if (byte_fallback_ && std::all_of(text.begin(), text.end(),
                                      [&](char byte) { return bytes_[static_cast<unsigned char>(byte)] >= 0; })) {
      for (std::size_t i = text.size(); i-- > 0;)
        pieces.push_back({bytes_[static_cast<unsigned char>(text[i])], first, last});
      return;
    }
    pieces.push_back({unknown_, first, last});
  }

  std::vector<double> scores_;
  std::int64_t unknown_;
  bool byte_fallback_;
  double unknown_score_ = 0;
  std::int64_t bytes_[256];
  FlatTable<std::uint32_t> children_;     // of a trie's node, by a byte
  std::vector<std::int32_t> ids_ = {-1};  // of a node, -1: no piece ends there
};

}  // namespace

std::unique_ptr<SubwordModel> read_unigram(const Part& part) {
  const detail::Json& all = part.at("vocab").json();
  if (!all.is_array()) part.fail("expected a list 'vocab' of pieces and scores");
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (const detail::Json& one : all) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string() || !one[1].is_number())
      part.fail("vocab: expected a piece and its score each, got " + detail::json_text(one));
    vocabulary.add(one[0].get<std::string>(), static_cast<std::int64_t>(scores.size()), part.where());
    scores.push_back(one[1].get<double>());
  }
  std::optional<std::int64_t> unknown;
  if (part.has("unk_id")) {
    unknown = part.number("unk_id");
    if (*unknown < 0 || *unknown >= static_cast<std::int64_t>(scores.size()))
      part.fail("unk_id " + std::to_string(*unknown) + " is out of range: the vocabulary has " +
                std::to_string(scores.size()) + " pieces");
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), unknown,
                                   part.flag("byte_fallback", false));
}

}  // namespace vene::text
