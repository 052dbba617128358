// SPDX-License-Identifier: Apache-2.0
#include "bpe_trainer.h"

#include <array>
#include <cctype>
#include <map>
#include <stdexcept>

namespace language_corpus {
namespace {

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint64_t>(right);
}

// GPT-2's spelling of bytes as visible characters, in UTF-8.
const std::array<std::string, 256>& byte_spelling() {
  static const std::array<std::string, 256> kSpelling = [] {
    std::array<std::string, 256> spelling;
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const int code = visible ? byte : next++;
      if (code < 0x80) {
        spelling[byte] = std::string(1, static_cast<char>(code));
      } else {
        spelling[byte] = {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
      }
    }
    return spelling;
  }();
  return kSpelling;
}

std::string spelled(const std::string& bytes) {
  std::string text;
  for (unsigned char byte : bytes) text += byte_spelling()[byte];
  return text;
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::vector<std::string> BpeTrainer::words(const std::string& text) {
  auto kind = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) throw std::invalid_argument("the corpus is expected to be ASCII");
    return std::isalpha(byte) != 0 ? 0 : std::isdigit(byte) != 0 ? 1 : std::isspace(byte) != 0 ? 2 : 3;
  };
  static const std::array<const char*, 7> kContractions{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    for (const char* contraction : kContractions) {
      const std::string_view ending(contraction);
      if (text.compare(at, ending.size(), ending) == 0) {
        end = at + ending.size();
        break;
      }
    }
    if (end == at) {
      std::size_t start = at;
      if (text[at] == ' ' && at + 1 < text.size() && kind(text[at + 1]) != 2) ++start;
      end = start;
      while (end < text.size() && kind(text[end]) == kind(text[start])) ++end;
      // White space gives its last character to the word behind it.
      if (kind(text[start]) == 2 && end < text.size() && end - start > 1) --end;
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

BpeTrainer::BpeTrainer(const std::vector<std::string>& texts, std::int64_t vocabulary) {
  for (int byte = 0; byte < 256; ++byte) pieces_.emplace_back(1, static_cast<char>(byte));
  std::map<std::string, std::int64_t> counts;
  for (const std::string& text : texts) {
    for (const std::string& word : words(text)) ++counts[word];
  }
  std::vector<std::pair<std::vector<std::int64_t>, std::int64_t>> split;
  for (const auto& [word, count] : counts) {
    std::vector<std::int64_t> ids;
    for (unsigned char byte : word) ids.push_back(byte);
    split.emplace_back(std::move(ids), count);
  }
  while (size() < vocabulary) {
    std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> pairs;
    for (const auto& [ids, count] : split) {
      for (std::size_t i = 1; i < ids.size(); ++i) pairs[{ids[i - 1], ids[i]}] += count;
    }
    // The most frequent; of equals the first in order of ids, so that the result is one.
    auto best = pairs.end();
    for (auto it = pairs.begin(); it != pairs.end(); ++it) {
      if (best == pairs.end() || it->second > best->second) best = it;
    }
    if (best == pairs.end()) break;
    const auto [left, right] = best->first;
    const auto made = static_cast<std::int64_t>(pieces_.size());
    pieces_.push_back(pieces_[left] + pieces_[right]);
    merges_.emplace_back(left, right);
    merged_[pair_key(left, right)] = made;
    for (auto& [ids, count] : split) {
      std::size_t kept = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right) {
          ids[kept++] = made;
          ++i;
        } else {
          ids[kept++] = ids[i];
        }
      }
      ids.resize(kept);
    }
  }
}

std::vector<std::int64_t> BpeTrainer::encode(const std::string& text) {
  std::vector<std::int64_t> all;
  for (const std::string& word : words(text)) {
    auto found = known_.find(word);
    if (found == known_.end()) {
      std::vector<std::int64_t> ids;
      for (unsigned char byte : word) ids.push_back(byte);
      while (ids.size() > 1) {
        // The earliest learned merge first; ids of merges ascend in that order.
        std::size_t best = 0;
        std::int64_t best_id = INT64_MAX;
        for (std::size_t i = 1; i < ids.size(); ++i) {
          const auto merge = merged_.find(pair_key(ids[i - 1], ids[i]));
          if (merge != merged_.end() && merge->second < best_id) {
            best = i;
            best_id = merge->second;
          }
        }
        if (best == 0) break;
        ids[best - 1] = best_id;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best));
      }
      found = known_.emplace(word, std::move(ids)).first;
    }
    all.insert(all.end(), found->second.begin(), found->second.end());
  }
  return all;
}

std::string BpeTrainer::vocab_json() const {
  std::string json = "{";
  for (std::size_t id = 0; id < pieces_.size(); ++id)
    json += json_string(spelled(pieces_[id])) + ": " + std::to_string(id) + ", ";
  return json + "\"<|endoftext|>\": " + std::to_string(end_of_text()) + "}\n";
}

std::string BpeTrainer::merges_text() const {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right] : merges_) text += spelled(pieces_[left]) + " " + spelled(pieces_[right]) + "\n";
  return text;
}

}  // namespace language_corpus
