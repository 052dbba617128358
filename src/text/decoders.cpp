// SPDX-License-Identifier: Apache-2.0
#include "src/text/decoders.h"

#include <algorithm>

#include "src/text/byte_spelling.h"
#include "src/text/pattern.h"
#include "src/text/unicode.h"

namespace vene::text {
namespace {

std::string replaced(std::string_view text, std::string_view old, std::string_view made) {
  if (old.empty()) return std::string(text);
  std::string all;
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(old, at);
    all += text.substr(at, found == std::string_view::npos ? found : found - at);
    if (found == std::string_view::npos) return all;
    all += made;
    at = found + old.size();
  }
}

// The spaces that cutting put before English punctuation and contractions.
std::string cleaned(std::string text) {
  for (const auto& [old, made] :
       {std::pair(" .", "."), std::pair(" ?", "?"), std::pair(" !", "!"), std::pair(" ,", ","), std::pair(" ' ", "'"),
        std::pair(" n't", "n't"), std::pair(" 'm", "'m"), std::pair(" do not", " don't"), std::pair(" 's", "'s"),
        std::pair(" 've", "'ve"), std::pair(" 're", "'re")})
    text = replaced(text, old, made);
  return text;
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& piece : pieces) all += piece;
  return all;
}

class Sequence : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> all) : all_(std::move(all)) {}
  void decode(std::vector<std::string>& pieces) const override {
    for (const auto& one : all_) one->decode(pieces);
  }
  std::string one(std::string piece) const override {
    for (const auto& part : all_) piece = part->one(std::move(piece));
    return piece;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> all_;
};

class ByteLevel : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override {
    std::string bytes;
    for (std::string& piece : pieces) bytes += one(std::move(piece));
    pieces = {valid_utf8(bytes)};
  }
  std::string one(std::string piece) const override { return bytes_of_spelling(piece).value_or(piece); }
};

class WordPiece : public Decoder {
 public:
  WordPiece(std::string prefix, bool clean) : prefix_(std::move(prefix)), clean_(clean) {}
  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) pieces[i] = pieces[i].starts_with(prefix_) ? pieces[i].substr(prefix_.size()) : " " + pieces[i];
      if (clean_) pieces[i] = cleaned(std::move(pieces[i]));
    }
  }
  std::string one(std::string piece) const override {
    return piece.starts_with(prefix_) ? piece.substr(prefix_.size()) : piece;
  }

 private:
  std::string prefix_;
  bool clean_;
};

class Metaspace : public Decoder {
 public:
  Metaspace(std::string replacement, bool prefix) : replacement_(std::move(replacement)), prefix_(prefix) {}
  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i)
      pieces[i] = replaced(pieces[i], replacement_, i == 0 && prefix_ ? "" : " ");
  }
  std::string one(std::string piece) const override { return replaced(piece, replacement_, " "); }

 private:
  std::string replacement_;
  bool prefix_;
};

class Suffix : public Decoder {
 public:
  explicit Suffix(std::string suffix) : suffix_(std::move(suffix)) {}
  void decode(std::vector<std::string>& pieces) const override {
    for (std::size_t i = 0; i < pieces.size(); ++i)
      pieces[i] = replaced(pieces[i], suffix_, i + 1 == pieces.size() ? "" : " ");
  }
  std::string one(std::string piece) const override { return replaced(piece, suffix_, ""); }

 private:
  std::string suffix_;
};

class ByteFallback : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override {
    std::vector<std::string> all;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (is_utf8(bytes))
        all.push_back(bytes);
      else
        all.insert(all.end(), bytes.size(), "\xEF\xBF\xBD");
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      if (const int byte = byte_of(piece); byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      all.push_back(std::move(piece));
    }
    flush();
    pieces = std::move(all);
  }
  std::string one(std::string piece) const override {
    const int byte = byte_of(piece);
    return byte >= 0 ? std::string(1, static_cast<char>(byte)) : piece;
  }

 private:
  static int byte_of(std::string_view piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || !piece.ends_with(">")) return -1;
    int byte = 0;
    for (char c : piece.substr(3, 2)) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return -1;
      byte = byte * 16 + digit;
    }
    return byte;
  }
};

class Fuse : public Decoder {
 public:
  void decode(std::vector<std::string>& pieces) const override { pieces = {joined(pieces)}; }
};

class Strip : public Decoder {
 public:
  Strip(std::string content, std::int64_t start, std::int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void decode(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      std::size_t begin = 0, end = piece.size();
      for (std::int64_t i = 0; i < start_ && piece.compare(begin, content_.size(), content_) == 0; ++i)
        begin += content_.size();
      for (std::int64_t i = 0; i < stop_ && end >= begin + content_.size() &&
                               piece.compare(end - content_.size(), content_.size(), content_) == 0;
           ++i)
        end -= content_.size();
      piece = piece.substr(begin, end - begin);
    }
  }

 private:
  std::string content_;
  std::int64_t start_, stop_;
};

class Replace : public Decoder {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void decode(std::vector<std::string>& pieces) const override {
    Pattern::Search search(pattern_);
    for (std::string& piece : pieces) piece = replace(search, piece);
  }
  std::string one(std::string piece) const override {
    Pattern::Search search(pattern_);
    return replace(search, piece);
  }

 private:
  std::string replace(Pattern::Search& search, const std::string& piece) const {
    if (piece.empty()) return piece;
    std::vector<Match> matches;
    search(piece, matches);
    std::string all;
    for (const Match& match : matches)
      all += match.matched ? content_ : piece.substr(match.first, match.last - match.first);
    return all;
  }
  Pattern pattern_;
  std::string content_;
};

class Ctc : public Decoder {
 public:
  Ctc(std::string pad, std::string delimiter, bool clean)
      : pad_(std::move(pad)), delimiter_(std::move(delimiter)), clean_(clean) {}
  void decode(std::vector<std::string>& pieces) const override {
    pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
    for (std::string& piece : pieces) piece = one(std::move(piece));
    std::erase(pieces, "");
  }
  std::string one(std::string piece) const override {
    piece = replaced(piece, pad_, "");
    return clean_ ? replaced(cleaned(std::move(piece)), delimiter_, " ") : piece;
  }

 private:
  std::string pad_, delimiter_;
  bool clean_;
};

bool metaspace_prefix(const Part& part) {
  if (part.has("add_prefix_space") && !part.flag("add_prefix_space")) return false;
  return part.text_if("prepend_scheme").value_or("always") != "never";
}

}  // namespace

std::unique_ptr<Decoder> byte_level_decoder() {
  return std::make_unique<ByteLevel>();
}
std::unique_ptr<Decoder> word_piece_decoder(std::string prefix, bool clean) {
  return std::make_unique<WordPiece>(std::move(prefix), clean);
}

std::unique_ptr<Decoder> read_decoder(const Part& part, int depth) {
  const std::string type = part.type();
  if (type == "Sequence") {
    if (depth > 8) part.fail("sequences nested too deep");
    std::vector<std::unique_ptr<Decoder>> all;
    for (const Part& one : part.list("decoders")) all.push_back(read_decoder(one, depth + 1));
    return std::make_unique<Sequence>(std::move(all));
  }
  if (type == "ByteLevel") return byte_level_decoder();
  if (type == "WordPiece") return word_piece_decoder(part.text_if("prefix").value_or("##"), part.flag("cleanup", true));
  if (type == "Metaspace") return std::make_unique<Metaspace>(part.character("replacement"), metaspace_prefix(part));
  if (type == "BPEDecoder") return std::make_unique<Suffix>(part.text_if("suffix").value_or("</w>"));
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip")
    return std::make_unique<Strip>(part.character("content"), part.number("start"), part.number("stop"));
  if (type == "Replace") return std::make_unique<Replace>(Pattern::read(part), part.text("content"));
  if (type == "CTC")
    return std::make_unique<Ctc>(part.text("pad_token"), part.text("word_delimiter_token"), part.flag("cleanup", true));
  part.fail_type(type, {"Sequence", "ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse",
                        "Strip", "Replace", "CTC"});
}

}  // namespace vene::text
