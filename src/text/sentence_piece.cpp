// SPDX-License-Identifier: Apache-2.0
#include "src/text/sentence_piece.h"

#include <sentencepiece_processor.h>

#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::text {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's visible space

class SentencePiece : public Tokenizer {
 public:
  SentencePiece(const std::string& path, bool add_bos, bool add_eos) : add_bos_(add_bos), add_eos_(add_eos) {
    const std::string bytes = io::read_file(path);
    const auto status = processor_.LoadFromSerializedProto(bytes);
    if (!status.ok() || processor_.GetPieceSize() <= 0)
      throw IoError(path + ": not a SentencePiece model" + (status.ok() ? "" : ": " + std::string(status.message())));
    // The model type is field 3 of the trainer's settings; unigram is told by its scores, which are no ranks.
    auto id = [&](int value) { return value >= 0 ? std::optional<std::int64_t>(value) : std::nullopt; };
    bos_ = id(processor_.bos_id());
    eos_ = id(processor_.eos_id());
    pad_ = id(processor_.pad_id());
    for (int piece = 0; piece < processor_.GetPieceSize(); ++piece) {
      if (processor_.IsControl(piece)) controls_.push_back(piece);
    }
    unigram_ = !ranked();
  }

  std::vector<Token> tokens(std::string_view text, bool special) const override {
    std::vector<Token> all;
    if (special && add_bos_ && bos_) all.push_back({*bos_, token_text(*bos_), 0, 0});
    std::size_t at = 0;
    while (at <= text.size()) {
      // Control pieces written out in the text stand for themselves.
      std::size_t next = std::string_view::npos;
      int control = -1;
      for (int piece : controls_) {
        const std::size_t found = text.find(processor_.IdToPiece(piece), at);
        if (found < next) {
          next = found;
          control = piece;
        }
      }
      const std::size_t end = std::min(next, text.size());
      if (end > at) encode_plain(text.substr(at, end - at), static_cast<std::int64_t>(at), all);
      if (control < 0) break;
      at = next + processor_.IdToPiece(control).size();
      all.push_back(
          {control, processor_.IdToPiece(control), static_cast<std::int64_t>(next), static_cast<std::int64_t>(at)});
    }
    if (special && add_eos_ && eos_)
      all.push_back(
          {*eos_, token_text(*eos_), static_cast<std::int64_t>(text.size()), static_cast<std::int64_t>(text.size())});
    return all;
  }

  std::string token_text(std::int64_t id) const override {
    if (id < 0 || id >= size()) return "";
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
    bool start = true;
    for (std::int64_t id : ids) {
      if (id < 0 || id >= size()) continue;
      if (processor_.IsControl(static_cast<int>(id))) {
        if (!skip_special) bytes += token_text(id);
        continue;
      }
      std::string text = processor_.IsUnknown(static_cast<int>(id)) ? " \xE2\x81\x87 " : token_text(id);
      // The space that encoding puts in front of the first word.
      if (start && text.starts_with(' ') && processor_.IdToPiece(static_cast<int>(id)).starts_with(kSpace))
        text.erase(0, 1);
      start = false;
      bytes += text;
    }
    return valid_utf8(bytes);
  }

  std::optional<std::int64_t> id_of(std::string_view piece) const override {
    const int id = processor_.PieceToId(piece);
    if (processor_.IdToPiece(id) != piece) return std::nullopt;
    return id;
  }
  std::int64_t size() const override { return processor_.GetPieceSize(); }
  std::string kind() const override { return unigram_ ? "SentencePiece unigram" : "SentencePiece BPE"; }

 private:
  // BPE models score their pieces by rank: 0, -1, -2 ...
  bool ranked() const {
    for (int piece = 0; piece < processor_.GetPieceSize(); ++piece) {
      if (processor_.IsControl(piece) || processor_.IsByte(piece) || processor_.IsUnknown(piece) ||
          processor_.IsUnused(piece))
        continue;
      const float score = processor_.GetScore(piece);
      if (score != static_cast<float>(static_cast<std::int64_t>(score))) return false;
    }
    return true;
  }

  void encode_plain(std::string_view text, std::int64_t offset, std::vector<Token>& all) const {
    const auto encoded = processor_.EncodeAsImmutableProto(text);
    std::int64_t last = offset;
    for (const auto& piece : encoded.pieces()) {
      const std::int64_t begin = offset + static_cast<std::int64_t>(piece.begin());
      const std::int64_t end = offset + static_cast<std::int64_t>(piece.end());
      all.push_back({piece.id(), token_text(piece.id()), std::max(begin, last), std::max(end, last)});
      last = std::max(end, last);
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::vector<int> controls_;
  bool add_bos_, add_eos_, unigram_ = false;
};

}  // namespace

std::shared_ptr<const Tokenizer> read_sentence_piece(const std::string& path, bool add_bos, bool add_eos) {
  return std::make_shared<SentencePiece>(path, add_bos, add_eos);
}

}  // namespace vene::text
