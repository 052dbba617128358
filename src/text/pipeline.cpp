// SPDX-License-Identifier: Apache-2.0
#include "src/text/pipeline.h"

#include <algorithm>

#include "src/text/unicode.h"

namespace vene::text {

std::optional<std::int64_t> PipelineParts::id_of(std::string_view piece) const {
  if (const AddedToken* token = added.by_content(piece)) return token->id;
  return model->vocabulary().id(piece);
}

void PipelineParts::add(AddedToken token) {
  if (token.content.empty()) return;
  const std::optional<std::int64_t> known = id_of(token.content);
  if (known) {
    token.id = *known;
  } else {
    token.id = model->vocabulary().count();
    for (const AddedToken& other : added.all()) token.id = std::max(token.id, other.id + 1);
  }
  added.add(std::move(token));
}

Pipeline::Pipeline(PipelineParts parts) : parts_(std::move(parts)) {
  parts_.added.finish([this](const std::string& content) {
    if (!parts_.normalizer) return content;
    Cut cut(content);
    parts_.normalizer->apply(cut);
    return cut.bytes;
  });
  bos_ = parts_.bos;
  eos_ = parts_.eos;
  pad_ = parts_.pad;
  ends_ = parts_.ends;
  size_ = parts_.model->vocabulary().size();
  for (const AddedToken& token : parts_.added.all()) size_ = std::max(size_, token.id + 1);
}

namespace {

Place place_of(const Cut& cut, const Piece& piece, const Subword& one) {
  const std::size_t begin = piece.first + one.first, end = piece.first + one.last;
  if (end > begin) return cut.place(begin, end);
  const std::uint32_t at = begin > piece.first ? cut.place(begin - 1, begin).end : piece.origin;
  return {at, at};
}

}  // namespace

void Pipeline::encode_pieces(const Cut& cut, std::vector<PlacedId>& ids) const {
  constexpr std::size_t kLongestKept = 64;
  const bool keep = cut.pieces.size() > 32;  // words come again in a text of any length
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> known;
  std::vector<Subword> kept, fresh;
  if (keep) known.reserve(std::min<std::size_t>(cut.pieces.size(), 1 << 16));
  ids.reserve(cut.pieces.size() * 3 / 2 + 8);
  for (const Piece& piece : cut.pieces) {
    if (piece.token != nullptr) {
      ids.push_back({piece.token->id, cut.place(piece.first, piece.last), piece.token, false});
      continue;
    }
    const std::string_view word = cut.view(piece);
    if (!keep || word.size() > kLongestKept) {
      fresh.clear();
      parts_.model->encode(word, fresh);
      for (const Subword& one : fresh) ids.push_back({one.id, place_of(cut, piece, one), nullptr, false});
      continue;
    }
    auto [found, is_new] = known.try_emplace(word);
    if (is_new) {
      found->second.first = kept.size();
      parts_.model->encode(word, kept);
      found->second.second = kept.size();
    }
    for (std::size_t i = found->second.first; i < found->second.second; ++i)
      ids.push_back({kept[i].id, place_of(cut, piece, kept[i]), nullptr, false});
  }
}

std::vector<PlacedId> Pipeline::run(std::string_view text, const EncodeOptions& options) const {
  Cut cut(text);
  parts_.added.before().cut(cut, options.read_special);
  if (parts_.normalizer) parts_.normalizer->apply(cut);
  parts_.added.behind().cut(cut, options.read_special);
  if (parts_.pre_tokenizer) parts_.pre_tokenizer->apply(cut);
  std::vector<PlacedId> ids;
  encode_pieces(cut, ids);
  if (!parts_.post_processor) return ids;
  PostProcessor::Stretches stretches(1);
  stretches[0] = std::move(ids);
  parts_.post_processor->apply(stretches, options.special);
  if (stretches.size() == 1) return std::move(stretches[0]);
  std::vector<PlacedId> all;
  for (const auto& stretch : stretches) all.insert(all.end(), stretch.begin(), stretch.end());
  return all;
}

std::vector<std::int64_t> Pipeline::encode(std::string_view text, const EncodeOptions& options) const {
  const std::vector<PlacedId> placed = run(text, options);
  std::vector<std::int64_t> ids;
  ids.reserve(placed.size());
  for (const PlacedId& one : placed) ids.push_back(one.id);
  return ids;
}

std::vector<Token> Pipeline::tokens(std::string_view text, const EncodeOptions& options) const {
  const std::vector<PlacedId> placed = run(text, options);
  std::vector<Token> tokens;
  tokens.reserve(placed.size());
  bool behind = false;  // whether a token of the text has come
  for (const PlacedId& one : placed) {
    Token token{one.id, one.token != nullptr ? one.token->content : token_text(one.id), one.place.begin, one.place.end};
    if (one.put_around) token.begin = token.end = behind ? static_cast<std::int64_t>(text.size()) : 0;
    behind = behind || !one.put_around;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::string Pipeline::token_text(std::int64_t id) const {
  if (const AddedToken* added = parts_.added.by_id(id)) return added->content;
  const std::string* piece = parts_.model->vocabulary().piece(id);
  if (piece == nullptr) return "";
  return parts_.decoder ? parts_.decoder->one(*piece) : *piece;
}

std::string Pipeline::decode(const std::vector<std::int64_t>& ids, bool skip_special) const {
  std::vector<std::string> pieces;
  pieces.reserve(ids.size());
  for (std::int64_t id : ids) {
    const AddedToken* added = parts_.added.by_id(id);
    const std::string* piece = added != nullptr ? &added->pattern : parts_.model->vocabulary().piece(id);
    if (piece == nullptr) continue;
    if (skip_special) {
      const AddedToken* named = parts_.added.by_content(*piece);
      if (named != nullptr && named->special) continue;
    }
    pieces.push_back(*piece);
  }
  std::string text;
  if (parts_.decoder) {
    if (!pieces.empty()) parts_.decoder->decode(pieces);
    for (const std::string& piece : pieces) text += piece;
  } else {
    for (std::size_t i = 0; i < pieces.size(); ++i) text += (i > 0 ? " " : "") + pieces[i];
  }
  return valid_utf8(text);
}

}  // namespace vene::text
