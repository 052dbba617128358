// SPDX-License-Identifier: Apache-2.0
#include "src/text/byte_level.h"

#include <algorithm>

#include "vene/base/error.h"

namespace vene::text {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (static_cast<unsigned char>(c) & 0x80) != 0;
}

using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;

void split_by_pattern(std::string_view text, std::pair<std::int64_t, std::int64_t> range, const WordStep& step,
                      Ranges& words) {
  const std::string_view part =
      text.substr(static_cast<std::size_t>(range.first), static_cast<std::size_t>(range.second - range.first));
  std::int64_t at = 0;
  auto gap = [&](std::int64_t end) {
    if (end > at && !step.matches_only) words.emplace_back(range.first + at, range.first + end);
  };
  for (const auto& [begin, end] : step.pattern->matches(part)) {
    gap(begin);
    if (!step.drop_matches) words.emplace_back(range.first + begin, range.first + end);
    at = end;
  }
  gap(static_cast<std::int64_t>(part.size()));
}

}  // namespace

ByteLevelTokenizer::ByteLevelTokenizer(ByteLevelParts parts) : parts_(std::move(parts)) {
  for (const auto& [piece, id] : parts_.bpe->vocabulary()) size_ = std::max(size_, id + 1);
  for (const AddedToken& token : parts_.added) {
    size_ = std::max(size_, token.id + 1);
    added_by_id_[token.id] = &token;
    if (!token.content.empty()) (token.normalized ? normalized_ : raw_)[token.content[0]].push_back(&token);
  }
  for (Finder* finder : {&raw_, &normalized_}) {
    for (auto& [first, tokens] : *finder) {
      std::stable_sort(tokens.begin(), tokens.end(),
                       [](const AddedToken* a, const AddedToken* b) { return a->content.size() > b->content.size(); });
    }
  }
}

void ByteLevelTokenizer::set_special(std::optional<std::int64_t> bos, std::optional<std::int64_t> eos,
                                     std::optional<std::int64_t> pad) {
  bos_ = bos;
  eos_ = eos;
  pad_ = pad;
}

void ByteLevelTokenizer::set_added_around(bool bos, bool eos) {
  if (bos && bos_ && parts_.front.empty()) parts_.front.push_back(*bos_);
  if (eos && eos_ && parts_.behind.empty()) parts_.behind.push_back(*eos_);
}

// Leftmost, and of those the longest.
std::vector<ByteLevelTokenizer::Found> ByteLevelTokenizer::find_added(const Finder& finder, std::string_view text) {
  std::vector<Found> found;
  if (finder.empty()) return found;
  for (std::size_t at = 0; at < text.size();) {
    const auto candidates = finder.find(text[at]);
    const AddedToken* match = nullptr;
    if (candidates != finder.end()) {
      for (const AddedToken* token : candidates->second) {
        if (text.compare(at, token->content.size(), token->content) != 0) continue;
        const std::size_t end = at + token->content.size();
        if (token->single_word && ((at > 0 && is_word(text[at - 1])) || (end < text.size() && is_word(text[end]))))
          continue;
        match = token;
        break;
      }
    }
    if (match == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + match->content.size();
    const std::size_t floor = found.empty() ? 0 : found.back().end;
    if (match->left_strip) {
      while (begin > floor && is_space(text[begin - 1])) --begin;
    }
    if (match->right_strip) {
      while (end < text.size() && is_space(text[end])) ++end;
    }
    found.push_back({begin, end, match});
    at = end;
  }
  return found;
}

void ByteLevelTokenizer::encode_words(const Normalised& normal, std::size_t first, std::size_t last,
                                      std::int64_t offset, std::vector<Token>& tokens, bool prefix) const {
  std::string_view text = std::string_view(normal.text).substr(first, last - first);
  std::string spaced;
  std::int64_t shift = 0;
  if (prefix && !text.empty() && !is_space(text[0])) {
    spaced = " " + std::string(text);
    text = spaced;
    shift = 1;
  }
  Ranges ranges;
  if (!text.empty()) ranges.emplace_back(0, static_cast<std::int64_t>(text.size()));
  for (const WordStep& step : parts_.words) {
    Ranges finer;
    for (const auto& range : ranges) {
      if (step.kind == WordStep::Kind::kPattern) {
        split_by_pattern(text, range, step, finer);
        continue;
      }
      for (std::int64_t at = range.first; at < range.second;) {  // digits, alone or in runs
        std::int64_t end = at;
        auto digit = [&](std::int64_t i) {
          return std::isdigit(static_cast<unsigned char>(text[static_cast<std::size_t>(i)])) != 0;
        };
        const bool digits = digit(at);
        while (end < range.second && digit(end) == digits && !(digits && step.single_digits && end > at)) ++end;
        finer.emplace_back(at, end);
        at = end;
      }
    }
    ranges = std::move(finer);
  }
  for (const auto& [begin, end] : ranges) {
    std::int64_t at = begin;
    for (const auto& [id, size] :
         parts_.bpe->encode(text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)))) {
      const auto start = static_cast<std::int64_t>(first) - shift;
      const std::int64_t from = std::max(at + start, static_cast<std::int64_t>(first));
      tokens.push_back(
          {id, *parts_.bpe->bytes(id), offset + normal.begin(from), offset + normal.end(at + size + start)});
      at += size;
    }
  }
}

void ByteLevelTokenizer::encode_plain(std::string_view text, std::int64_t offset, std::vector<Token>& tokens,
                                      bool first) const {
  Normalised normal{std::string(text), {}, {}};
  for (const std::string& form : parts_.normal_forms) {
    Normalised next = normalise(normal.text, form);
    if (next.begins.empty()) continue;
    for (std::int64_t& byte : next.begins) byte = normal.begin(byte);
    for (std::int64_t& byte : next.ends) byte = normal.end(byte);
    normal = std::move(next);
  }
  std::size_t at = 0;
  auto words = [&](std::size_t end) {
    if (end > at) encode_words(normal, at, end, offset, tokens, parts_.prefix_space && first && at == 0);
  };
  for (const Found& found : find_added(normalized_, normal.text)) {
    words(found.begin);
    tokens.push_back({found.token->id, found.token->content,
                      offset + normal.begin(static_cast<std::int64_t>(found.begin)),
                      offset + normal.end(static_cast<std::int64_t>(found.end))});
    at = found.end;
  }
  words(normal.text.size());
}

std::vector<Token> ByteLevelTokenizer::tokens(std::string_view text, bool special) const {
  std::vector<Token> tokens;
  auto add = [&](const std::vector<std::int64_t>& ids, std::int64_t at) {
    for (std::int64_t id : ids) tokens.push_back({id, token_text(id), at, at});
  };
  if (special) add(parts_.front, 0);
  std::size_t at = 0;
  for (const Found& found : find_added(raw_, text)) {
    encode_plain(text.substr(at, found.begin - at), static_cast<std::int64_t>(at), tokens, at == 0);
    tokens.push_back({found.token->id, found.token->content, static_cast<std::int64_t>(found.begin),
                      static_cast<std::int64_t>(found.end)});
    at = found.end;
  }
  encode_plain(text.substr(at), static_cast<std::int64_t>(at), tokens, at == 0);
  if (special) add(parts_.behind, static_cast<std::int64_t>(text.size()));
  return tokens;
}

std::string ByteLevelTokenizer::token_text(std::int64_t id) const {
  if (const auto added = added_by_id_.find(id); added != added_by_id_.end()) return added->second->content;
  const std::string* bytes = parts_.bpe->bytes(id);
  return bytes != nullptr ? *bytes : "";
}

std::string ByteLevelTokenizer::decode(const std::vector<std::int64_t>& ids, bool skip_special) const {
  std::string bytes;
  for (std::int64_t id : ids) {
    if (skip_special) {
      const auto added = added_by_id_.find(id);
      if ((added != added_by_id_.end() && added->second->special) || id == bos_ || id == eos_ || id == pad_) continue;
    }
    bytes += token_text(id);
  }
  return valid_utf8(bytes);
}

std::optional<std::int64_t> ByteLevelTokenizer::id_of(std::string_view piece) const {
  for (const AddedToken& token : parts_.added) {
    if (token.content == piece) return token.id;
  }
  const auto found = parts_.bpe->vocabulary().find(std::string(piece));
  if (found != parts_.bpe->vocabulary().end()) return found->second;
  return std::nullopt;
}

}  // namespace vene::text
