// SPDX-License-Identifier: Apache-2.0
#include "src/text/sentence_piece.h"

#include <sentencepiece_processor.h>

#include <cmath>

#include "src/text/part.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's visible space

class SentencePiece : public Tokenizer {
 public:
  SentencePiece(const std::string& path, const Settings& settings) {
    const std::string bytes = read_regular_file(path);
    const auto status = [&] {
      try {
        return processor_.LoadFromSerializedProto(bytes);
      } catch (const std::exception& error) {  // of a piece without text, say, from below the library
        throw IoError(path + ": not a SentencePiece model: " + error.what());
      }
    }();
    if (!status.ok() || processor_.GetPieceSize() <= 0)
      throw IoError(path + ": not a SentencePiece model" + (status.ok() ? "" : ": " + std::string(status.message())));
    unigram_ = !ranked();
    // A message behind a message is merged into it: normalizer_spec (3) with add_dummy_prefix (3) false.
    if (!plain_.LoadFromSerializedProto(bytes + std::string("\x1A\x02\x18\x00", 4)).ok())
      throw IoError(path + ": not a SentencePiece model");
    prefix_ = processor_.EncodeAsIds("a") != plain_.EncodeAsIds("a");
    // The class reads a text's first stretch alone with a space in front where "legacy" is false, which is what it has
    // where nothing is said.
    legacy_ = settings.flag("legacy").value_or(settings.tokenizer_class() != "LlamaTokenizer");
    add_tokens(settings);
    const auto id = [&](const char* name, int own) -> std::optional<std::int64_t> {
      if (const auto content = settings.named(name)) {
        if (const auto found = id_of(*content)) return found;
      }
      return own >= 0 ? std::optional<std::int64_t>(own) : std::nullopt;
    };
    bos_ = id("bos", processor_.bos_id());
    eos_ = id("eos", processor_.eos_id());
    pad_ = id("pad", processor_.pad_id());
    ends_ = settings.ends(eos_);
    // A language model's folder names its BOS; there it is added where no settings of a tokenizer say otherwise, and
    // settings that name a class add it only where they say so, as in transformers 5. A .model by itself adds nothing.
    add_bos_ = settings.flag("add_bos_token")
                   .value_or(settings.tokenizer_class().empty() && settings.model_id("bos", INT64_MAX).has_value());
    add_eos_ = settings.flag("add_eos_token").value_or(false);
  }

  std::vector<Token> tokens(std::string_view text, const EncodeOptions& options) const override {
    std::vector<Token> all;
    const auto size = static_cast<std::int64_t>(text.size());
    if (options.special && add_bos_ && bos_) all.push_back({*bos_, token_text(*bos_), 0, 0});
    Cut cut(text);
    added_.before().cut(cut, options.read_special);
    for (const Piece& piece : cut.pieces) {
      const auto begin = static_cast<std::int64_t>(piece.first), end = static_cast<std::int64_t>(piece.last);
      if (piece.token != nullptr)
        all.push_back({piece.token->id, piece.token->content, begin, end});
      else
        encode_plain(cut.view(piece), begin, legacy_ || (begin == 0 && !text.starts_with(' ')) ? processor_ : plain_,
                     all);
    }
    if (options.special && add_eos_ && eos_) all.push_back({*eos_, token_text(*eos_), size, size});
    return all;
  }

  std::string token_text(std::int64_t id) const override {
    if (const AddedToken* added = added_.by_id(id)) return added->content;
    if (id < 0 || id >= processor_.GetPieceSize()) return "";
    const int piece = static_cast<int>(id);
    const std::string& spelled = processor_.IdToPiece(piece);
    if (processor_.IsByte(piece))
      return std::string(1, static_cast<char>(std::stoi(spelled.substr(3, 2), nullptr, 16)));  // "<0x0A>"
    std::string text;
    for (std::size_t at = 0; at < spelled.size();) {
      if (spelled.compare(at, kSpace.size(), kSpace) == 0) {
        text += ' ';
        at += kSpace.size();
      } else {
        text += spelled[at++];
      }
    }
    return text;
  }

  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special) const override {
    std::string bytes;
    bool start = prefix_;  // whether the next piece begins with the space that encoding puts in front of the first word
    for (std::int64_t id : ids) {
      const AddedToken* added = added_.by_id(id);
      const bool own = id >= 0 && id < processor_.GetPieceSize();
      const int piece = own ? static_cast<int>(id) : 0;
      if (added != nullptr && !(own && processor_.IsUnknown(piece))) {
        if (!(added->special && skip_special)) bytes += added->content;
        continue;
      }
      if (!own || (processor_.IsControl(piece) && skip_special)) continue;
      std::string text = processor_.IsUnknown(piece) ? " \xE2\x81\x87 " : token_text(id);
      if (start && text.starts_with(' ') && processor_.IdToPiece(piece).starts_with(kSpace)) text.erase(0, 1);
      start = false;
      bytes += text;
    }
    return valid_utf8(bytes);
  }

  std::optional<std::int64_t> id_of(std::string_view piece) const override {
    if (const AddedToken* added = added_.by_content(piece)) return added->id;
    const int id = processor_.PieceToId(piece);
    if (processor_.IdToPiece(id) != piece) return std::nullopt;
    return id;
  }
  std::int64_t size() const override { return size_; }
  std::string kind() const override { return unigram_ ? "SentencePiece unigram" : "SentencePiece BPE"; }

 private:
  // Control pieces written out in a text stand for themselves, and so do the tokens of the files around.
  void add_tokens(const Settings& settings) {
    size_ = processor_.GetPieceSize();
    for (int piece = 0; piece < processor_.GetPieceSize(); ++piece) {
      if (!processor_.IsControl(piece)) continue;
      AddedToken token;
      token.id = piece;
      token.content = processor_.IdToPiece(piece);
      token.special = true;
      added_.add(std::move(token));
    }
    for (Settings::Listed& one : settings.listed()) {
      if (one.token.content.empty()) continue;
      const auto known = id_of(one.token.content);
      one.token.id = known ? *known : std::max(size_, one.id.value_or(size_));
      size_ = std::max(size_, one.token.id + 1);
      one.token.normalized = false;  // there is no other normalisation than the model's own
      added_.add(std::move(one.token));
    }
    added_.finish([](const std::string& content) { return content; });
  }

  // BPE models score their pieces by rank: 0, -1, -2 ...
  bool ranked() const {
    for (int piece = 0; piece < processor_.GetPieceSize(); ++piece) {
      if (processor_.IsControl(piece) || processor_.IsByte(piece) || processor_.IsUnknown(piece) ||
          processor_.IsUnused(piece))
        continue;
      const float score = processor_.GetScore(piece);
      if (score != std::trunc(score)) return false;  // a number that is none, too
    }
    return true;
  }

  void encode_plain(std::string_view text, std::int64_t offset, const sentencepiece::SentencePieceProcessor& processor,
                    std::vector<Token>& all) const {
    const auto encoded = processor.EncodeAsImmutableProto(text);
    std::int64_t last = offset;
    for (const auto& piece : encoded.pieces()) {
      const std::int64_t begin = offset + static_cast<std::int64_t>(piece.begin());
      const std::int64_t end = offset + static_cast<std::int64_t>(piece.end());
      all.push_back({piece.id(), token_text(piece.id()), std::max(begin, last), std::max(end, last)});
      last = std::max(end, last);
    }
  }

  sentencepiece::SentencePieceProcessor processor_, plain_;  ///< as the model says, and without a space in front
  AddedTokens added_;
  std::int64_t size_ = 0;
  bool add_bos_ = false, add_eos_ = false, unigram_ = false, legacy_ = true, prefix_ = true;
};

}  // namespace

std::shared_ptr<const Tokenizer> read_sentence_piece(const std::string& path, const Settings& settings) {
  return std::make_shared<SentencePiece>(path, settings);
}

}  // namespace vene::text
