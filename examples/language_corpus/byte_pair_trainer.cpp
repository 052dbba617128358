// SPDX-License-Identifier: Apache-2.0
#include "byte_pair_trainer.h"

#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <sstream>

namespace language_corpus {

namespace {

std::string utf8(int code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

/// GPT-2 gives every byte a printable character, and numbers printable bytes before the others.
struct ByteTable {
  std::array<std::int32_t, 256> id_of_byte;
  std::vector<std::string> spelling;
  ByteTable() {
    const auto printable = [](int byte) {
      return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    };
    for (const bool wanted : {true, false}) {
      int replacement = 0x100;
      for (int byte = 0; byte < 256; ++byte)
        if (printable(byte) == wanted) {
          id_of_byte[static_cast<std::size_t>(byte)] = static_cast<std::int32_t>(spelling.size());
          spelling.push_back(utf8(wanted ? byte : replacement++));
        }
    }
  }
};

const ByteTable& bytes() {
  static const ByteTable table;
  return table;
}

std::vector<std::int32_t> byte_ids(std::string_view word) {
  std::vector<std::int32_t> ids;
  for (const char c : word) ids.push_back(bytes().id_of_byte[static_cast<unsigned char>(c)]);
  return ids;
}

enum class Class { kLetter, kDigit, kSpace, kOther };

Class class_of(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x80 || std::isalpha(byte)) return Class::kLetter;
  if (std::isdigit(byte)) return Class::kDigit;
  return std::isspace(byte) ? Class::kSpace : Class::kOther;
}

}  // namespace

std::vector<std::string_view> BytePairTrainer::words(std::string_view text) {
  std::vector<std::string_view> result;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    for (const std::string_view contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (text.substr(at, contraction.size()) == contraction) end = at + contraction.size();
    if (end == at) {
      const bool spaced = text[at] == ' ' && at + 1 < text.size() && class_of(text[at + 1]) != Class::kSpace;
      end = at + (spaced ? 1 : 0);
      const Class kind = class_of(text[end]);
      while (end < text.size() && class_of(text[end]) == kind) ++end;
      // A run of spaces leaves its last one to the word that follows.
      if (kind == Class::kSpace && end < text.size() && end - at > 1) --end;
    }
    result.push_back(text.substr(at, end - at));
    at = end;
  }
  return result;
}

void BytePairTrainer::count(std::string_view text) {
  for (const std::string_view word : words(text)) ++counts_[std::string(word)];
}

void BytePairTrainer::merge(Ids& ids, std::pair<std::int32_t, std::int32_t> pair, std::int32_t merged) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second) {
      ids[kept++] = merged;
      ++i;
    } else {
      ids[kept++] = ids[i];
    }
  }
  ids.resize(kept);
}

void BytePairTrainer::train(std::size_t size) {
  spelling_ = bytes().spelling;
  std::vector<std::pair<Ids, std::int64_t>> corpus;
  for (const auto& [word, count] : counts_) corpus.emplace_back(byte_ids(word), count);
  while (spelling_.size() + 1 < size) {
    std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> pairs;
    for (const auto& [ids, count] : corpus)
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) pairs[{ids[i], ids[i + 1]}] += count;
    std::pair<std::int32_t, std::int32_t> best;
    std::int64_t most = 1;
    for (const auto& [pair, count] : pairs)
      if (count > most) most = count, best = pair;
    if (most < 2) break;
    const auto merged = static_cast<std::int32_t>(spelling_.size());
    spelling_.push_back(spelling_[static_cast<std::size_t>(best.first)] + spelling_[static_cast<std::size_t>(best.second)]);
    ranks_[best] = merged;
    merges_.push_back(best);
    for (auto& [ids, count] : corpus) merge(ids, best, merged);
  }
  spelling_.push_back("<|endoftext|>");
}

std::vector<std::int64_t> BytePairTrainer::encode(std::string_view text) {
  std::vector<std::int64_t> result;
  for (const std::string_view word : words(text)) {
    const auto [place, is_new] = known_words_.try_emplace(std::string(word));
    Ids& ids = place->second;
    if (is_new) {
      ids = byte_ids(word);
      while (ids.size() > 1) {
        // Merged ids grow in the order of the merges: the smallest is the merge to make first.
        std::int32_t first = INT32_MAX;
        std::pair<std::int32_t, std::int32_t> best;
        for (std::size_t i = 0; i + 1 < ids.size(); ++i)
          if (const auto rank = ranks_.find({ids[i], ids[i + 1]}); rank != ranks_.end() && rank->second < first)
            first = rank->second, best = rank->first;
        if (first == INT32_MAX) break;
        merge(ids, best, first);
      }
    }
    result.insert(result.end(), ids.begin(), ids.end());
  }
  return result;
}

std::string BytePairTrainer::vocabulary_json() const {
  nlohmann::ordered_json vocabulary;
  for (std::size_t id = 0; id < spelling_.size(); ++id) vocabulary[spelling_[id]] = id;
  return vocabulary.dump() + "\n";
}

std::string BytePairTrainer::merges_text() const {
  std::ostringstream text;
  text << "#version: 0.2\n";
  for (const auto& [left, right] : merges_)
    text << spelling_[static_cast<std::size_t>(left)] << ' ' << spelling_[static_cast<std::size_t>(right)] << '\n';
  return text.str();
}

}  // namespace language_corpus
