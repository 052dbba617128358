// SPDX-License-Identifier: Apache-2.0
#include "src/text/normalizers.h"

#include "src/text/byte_spelling.h"
#include "src/text/normal_forms.h"
#include "src/text/pattern.h"
#include "src/text/unicode.h"

namespace vene::text {
namespace {

// Calls each(code, first, last) for the characters of a piece, by their bytes in the cut.
template <class Each>
void for_characters(const Cut& cut, const Piece& piece, Each each) {
  const std::string_view text(cut.bytes);
  for (std::size_t at = piece.first; at < piece.last;) {
    const std::size_t first = at;
    const std::uint32_t code = next_code(text, at);
    each(code, first, std::min(at, piece.last));
  }
}

template <class Keep>
void filter(Cut& cut, Keep keep) {
  Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
    for_characters(cut, piece, [&](std::uint32_t code, std::size_t first, std::size_t last) {
      if (keep(code)) to.keep(first, last);
    });
  });
}

template <class Map>
void map(Cut& cut, Map made) {
  Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
    for_characters(cut, piece, [&](std::uint32_t code, std::size_t first, std::size_t last) {
      const std::uint32_t other = made(code);
      if (other == code)
        to.keep(first, last);
      else
        to.put(utf8(other), to.place(first, last));
    });
  });
}

class UnicodeForm : public Step {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void apply(Cut& cut) const override {
    bool normal = true;
    for (const Piece& piece : cut.pieces)
      normal = normal && (piece.token != nullptr || is_surely_normal(cut.view(piece), form_));
    if (normal) return;
    Rewriter::run(
        cut, [&](const Piece& piece, Rewriter& to) { transform(cut, piece, normal_form(cut.view(piece), form_), to); });
  }

 private:
  NormalForm form_;
};

void lower(Cut& cut) {
  Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
    for_characters(cut, piece, [&](std::uint32_t code, std::size_t first, std::size_t last) {
      const std::string lowered = lower_case(code);
      if (code == kReplacement || std::string_view(cut.bytes).substr(first, last - first) == lowered)
        to.keep(first, last);
      else
        to.put(lowered, to.place(first, last));
    });
  });
}

class Lowercase : public Step {
 public:
  void apply(Cut& cut) const override { lower(cut); }
};

class StripAccents : public Step {
 public:
  void apply(Cut& cut) const override {
    filter(cut, [](std::uint32_t code) { return !is_mark(code); });
  }
};

class Bert : public Step {
 public:
  Bert(bool clean, bool chinese, bool strip_accents, bool lower)
      : clean_(clean), chinese_(chinese), strip_(strip_accents), lower_(lower) {}
  void apply(Cut& cut) const override {
    if (clean_) {
      filter(cut, [](std::uint32_t code) { return code != 0 && code != kReplacement && !is_control(code); });
      map(cut, [](std::uint32_t code) { return is_space(code) ? ' ' : code; });
    }
    if (chinese_) {
      Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
        for_characters(cut, piece, [&](std::uint32_t code, std::size_t first, std::size_t last) {
          if (is_cjk(code)) {
            const Place place = to.place(first, last);
            to.put(" ", place);
            to.put(utf8(code), place);
            to.put(" ", place);
          } else {
            to.keep(first, last);
          }
        });
      });
    }
    if (strip_) {
      UnicodeForm({false, false}).apply(cut);
      filter(cut, [](std::uint32_t code) { return !is_nonspacing_mark(code); });
    }
    if (lower_) lower(cut);
  }

 private:
  bool clean_, chinese_, strip_, lower_;
};

class Replace : public Step {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(Cut& cut) const override {
    Pattern::Search search(pattern_);
    std::vector<Match> matches;
    const std::string_view text(cut.bytes);
    Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
      matches.clear();
      search(cut.view(piece), matches);
      for (const Match& match : matches) {
        const std::size_t first = piece.first + match.first, last = piece.first + match.last;
        if (!match.matched) {
          to.keep(first, last);
        } else if (last == piece.first) {
          to.put(content_, {piece.origin, piece.origin});
        } else {
          std::size_t begin = last - 1;  // of the character that ends there
          while (begin > piece.first && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
          to.put(content_, to.place(begin, last));
        }
      }
    });
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend : public Step {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  void apply(Cut& cut) const override {
    Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
      if (piece.first == piece.last) return;
      std::size_t behind = piece.first;
      next_code(cut.bytes, behind);
      to.put(text_, to.place(piece.first, behind));
      to.keep(piece.first, piece.last);
    });
  }

 private:
  std::string text_;
};

class Strip : public Step {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(Cut& cut) const override {
    Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
      std::size_t begin = piece.last, end = piece.first;  // of what is no space
      for_characters(cut, piece, [&](std::uint32_t code, std::size_t first, std::size_t last) {
        if (is_space(code)) return;
        begin = std::min(begin, first);
        end = last;
      });
      if (begin < end) {
        to.keep(left_ ? begin : piece.first, right_ ? end : piece.last);
      } else if (!left_ && !right_) {
        to.keep(piece.first, piece.last);
      }
    });
  }

 private:
  bool left_, right_;
};

class Nmt : public Step {
 public:
  void apply(Cut& cut) const override {
    filter(cut, [](std::uint32_t code) {
      return !((code >= 1 && code <= 8) || code == 0xB || (code >= 0xE && code <= 0x1F) || code == 0x7F ||
               code == 0x8F || code == 0x9F);
    });
    map(cut, [](std::uint32_t code) -> std::uint32_t {
      const bool space = code == 9 || code == 0xA || code == 0xC || code == 0xD || code == 0x1680 ||
                         (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 ||
                         code == 0xFEFF || code == 0xFFFD;
      return space ? ' ' : code;
    });
  }
};

class Bytes : public Step {
 public:
  void apply(Cut& cut) const override { spell_bytes(cut); }
};

}  // namespace

std::unique_ptr<Step> bert_normalizer(bool clean, bool chinese, bool strip_accents, bool lower) {
  return std::make_unique<Bert>(clean, chinese, strip_accents, lower);
}
std::unique_ptr<Step> nfc_normalizer() {
  return std::make_unique<UnicodeForm>(NormalForm{false, true});
}

std::unique_ptr<Step> read_normalizer(const Part& part, int depth) {
  const std::string type = part.type();
  if (type == "Sequence") {
    if (depth > 8) part.fail("sequences nested too deep");
    std::vector<std::unique_ptr<Step>> steps;
    for (const Part& one : part.list("normalizers")) steps.push_back(read_normalizer(one, depth + 1));
    return std::make_unique<StepSequence>(std::move(steps));
  }
  if (type == "NFC") return std::make_unique<UnicodeForm>(NormalForm{false, true});
  if (type == "NFD") return std::make_unique<UnicodeForm>(NormalForm{false, false});
  if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalForm{true, true});
  if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalForm{true, false});
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "ByteLevel") return std::make_unique<Bytes>();
  if (type == "BertNormalizer") {
    const bool lowers = part.flag("lowercase", true);
    return bert_normalizer(part.flag("clean_text", true), part.flag("handle_chinese_chars", true),
                           part.flag("strip_accents", lowers), lowers);
  }
  if (type == "Replace") return std::make_unique<Replace>(Pattern::read(part), part.text("content"));
  if (type == "Prepend") return std::make_unique<Prepend>(part.text("prepend"));
  if (type == "Strip") return std::make_unique<Strip>(part.flag("strip_left", true), part.flag("strip_right", true));
  if (type == "Precompiled") return precompiled_normalizer(part.text("precompiled_charsmap"), part);
  part.fail_type(type, {"Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel",
                        "BertNormalizer", "Replace", "Prepend", "Strip", "Precompiled"});
}

}  // namespace vene::text
