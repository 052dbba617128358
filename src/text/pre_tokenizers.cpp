// SPDX-License-Identifier: Apache-2.0
#include "src/text/pre_tokenizers.h"

#include <algorithm>
#include <cstring>

#include "src/text/byte_spelling.h"
#include "src/text/gpt2_words.h"
#include "src/text/pattern.h"
#include "src/text/unicode.h"

namespace vene::text {
namespace {

// Puts a text in front of the pieces for which `wanted` holds, at the place of their first character.
template <class Wanted>
void prepend(Cut& cut, std::string_view text, Wanted wanted) {
  if (std::none_of(cut.pieces.begin(), cut.pieces.end(),
                   [&](const Piece& piece) { return piece.token == nullptr && wanted(piece); }))
    return;
  Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
    if (wanted(piece)) {
      std::size_t behind = piece.first;
      next_code(cut.bytes, behind);
      to.put(text, to.place(piece.first, behind));
    }
    to.keep(piece.first, piece.last);
  });
}

class ByteLevel : public Step {
 public:
  ByteLevel(bool prefix_space, bool words) : prefix_space_(prefix_space), words_(words) {}
  void apply(Cut& cut) const override {
    if (prefix_space_) prepend(cut, " ", [&](const Piece& piece) { return !cut.view(piece).starts_with(' '); });
    if (words_) cut_by(cut, Behavior::kIsolated, false, gpt2_words);
    spell_bytes(cut);
  }

 private:
  bool prefix_space_, words_;
};

class Split : public Step {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Cut& cut) const override {
    Pattern::Search search(pattern_);
    cut_by(cut, behavior_, invert_, [&](std::string_view view, std::vector<Match>& matches) { search(view, matches); });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class Characters : public Step {
 public:
  Characters(bool (*is)(std::uint32_t), Behavior behavior) : is_(is), behavior_(behavior) {}
  void apply(Cut& cut) const override { cut_by_characters(cut, behavior_, is_); }

 private:
  bool (*is_)(std::uint32_t);
  Behavior behavior_;
};

class Delimiter : public Step {
 public:
  Delimiter(std::uint32_t code, Behavior behavior) : code_(code), behavior_(behavior) {}
  void apply(Cut& cut) const override {
    cut_by_characters(cut, behavior_, [this](std::uint32_t code) { return code == code_; });
  }

 private:
  std::uint32_t code_;
  Behavior behavior_;
};

class Metaspace : public Step {
 public:
  enum class Scheme { kAlways, kFirst, kNever };
  Metaspace(std::string replacement, Scheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}
  void apply(Cut& cut) const override {
    Rewriter::run(cut, [&](const Piece& piece, Rewriter& to) {
      for (std::size_t at = piece.first; at < piece.last;) {
        const void* found = std::memchr(cut.bytes.data() + at, ' ', piece.last - at);
        const std::size_t space = found == nullptr
                                      ? piece.last
                                      : static_cast<std::size_t>(static_cast<const char*>(found) - cut.bytes.data());
        if (space > at) to.keep(at, space);
        if (space < piece.last) to.put(replacement_, to.place(space, space + 1));
        at = space + 1;
      }
    });
    if (scheme_ != Scheme::kNever) {
      prepend(cut, replacement_, [&](const Piece& piece) {
        return (scheme_ == Scheme::kAlways || piece.origin == 0) && !cut.view(piece).starts_with(replacement_);
      });
    }
    if (split_) Delimiter(code_points(replacement_)[0], Behavior::kMergedWithNext).apply(cut);
  }

 private:
  std::string replacement_;
  Scheme scheme_;
  bool split_;
};

// Runs of letters, marks, digits and connectors, and runs of what is neither those nor space.
class WordsAndSigns : public Step {
 public:
  void apply(Cut& cut) const override {
    cut_by(cut, Behavior::kRemoved, false, [](std::string_view view, std::vector<Match>& matches) {
      enum class Kind { kSpace, kWord, kSign };
      const auto kind_of = [](std::uint32_t code) {
        return is_word(code) ? Kind::kWord : is_space(code) ? Kind::kSpace : Kind::kSign;
      };
      std::size_t begin = 0;
      Kind kind = Kind::kSpace;
      for (std::size_t at = 0; at < view.size();) {
        const std::size_t first = at;
        const Kind next = kind_of(next_code(view, at));
        if (next != kind && first > begin) {
          matches.push_back({begin, first, kind == Kind::kSpace});
          begin = first;
        }
        kind = next;
      }
      if (view.size() > begin) matches.push_back({begin, view.size(), kind == Kind::kSpace});
    });
  }
};

class Bert : public Step {
 public:
  void apply(Cut& cut) const override {
    cut_by_characters(cut, Behavior::kRemoved, is_space);
    cut_by_characters(cut, Behavior::kIsolated, is_punctuation);
  }
};

class Scripts : public Step {
 public:
  void apply(Cut& cut) const override {
    cut_by(cut, Behavior::kIsolated, false, [](std::string_view view, std::vector<Match>& matches) {
      int script = -2;  // of the last character that has one; -2: none yet
      std::size_t begin = 0;
      bool started = false;
      for (std::size_t at = 0; at < view.size();) {
        const std::size_t first = at;
        const int next = script_of(next_code(view, at));
        if (next != -1 && next != script) {
          // What stands in front of the first character that has a script belongs to no piece, as in the library.
          if (started && first > begin) matches.push_back({begin, first, false});
          begin = first;
          started = true;
        }
        if (next != -1) script = next;
      }
      if (started && view.size() > begin) matches.push_back({begin, view.size(), false});
    });
  }
};

class FixedLength : public Step {
 public:
  explicit FixedLength(std::int64_t length) : length_(length) {}
  void apply(Cut& cut) const override {
    cut_by(cut, Behavior::kIsolated, false, [this](std::string_view view, std::vector<Match>& matches) {
      for (std::size_t at = 0; at < view.size();) {
        const std::size_t first = at;
        for (std::int64_t count = 0; count < length_ && at < view.size(); ++count) next_code(view, at);
        matches.push_back({first, at, false});
      }
    });
  }

 private:
  std::int64_t length_;
};

Behavior behavior(const Part& part) {
  const std::string name = part.text("behavior");
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  part.fail("behavior '" + name +
            "' is not known; expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

Metaspace::Scheme scheme(const Part& part) {
  const std::string name = part.text_if("prepend_scheme").value_or("always");
  const bool no_space = part.has("add_prefix_space") && !part.flag("add_prefix_space");
  if (no_space && part.has("prepend_scheme") && name != "never")
    part.fail("add_prefix_space is false, and prepend_scheme is '" + name + "'");
  if (no_space || name == "never") return Metaspace::Scheme::kNever;
  if (name == "first") return Metaspace::Scheme::kFirst;
  if (name == "always") return Metaspace::Scheme::kAlways;
  part.fail("prepend_scheme '" + name + "' is not known; expected first, always or never");
}

}  // namespace

std::unique_ptr<Step> byte_level(bool prefix_space, bool words) {
  return std::make_unique<ByteLevel>(prefix_space, words);
}
std::unique_ptr<Step> split_isolated(const std::string& expression) {
  return std::make_unique<Split>(Pattern::expression(expression, "the words of this tokenizer"), Behavior::kIsolated,
                                 false);
}
std::unique_ptr<Step> bert_words() {
  return std::make_unique<Bert>();
}
std::unique_ptr<Step> space_words() {
  return std::make_unique<Characters>(is_space, Behavior::kRemoved);
}
std::unique_ptr<Step> in_order(std::vector<std::unique_ptr<Step>> steps) {
  return std::make_unique<StepSequence>(std::move(steps));
}

bool has_type(const Part& part, const char* list, const std::string& type, int depth) {
  if (depth > 8) part.fail("sequences nested too deep");
  const std::string own = part.type();
  if (own != "Sequence") return own == type;
  for (const Part& one : part.list(list)) {
    if (has_type(one, list, type, depth + 1)) return true;
  }
  return false;
}

std::unique_ptr<Step> read_pre_tokenizer(const Part& part, std::optional<bool> prefix_space, int depth) {
  const std::string type = part.type();
  if (type == "Sequence") {
    if (depth > 8) part.fail("sequences nested too deep");
    std::vector<std::unique_ptr<Step>> steps;
    for (const Part& one : part.list("pretokenizers"))
      steps.push_back(read_pre_tokenizer(one, prefix_space, depth + 1));
    return in_order(std::move(steps));
  }
  if (type == "ByteLevel")
    return byte_level(prefix_space.value_or(part.flag("add_prefix_space", true)), part.flag("use_regex", true));
  if (type == "Split") {
    const Behavior kind = behavior(part);
    if (kind == Behavior::kIsolated && part.at("pattern").json() == detail::Json{{"Regex", kGpt2Words}})
      return std::make_unique<Gpt2Words>();
    return std::make_unique<Split>(Pattern::read(part), kind, part.flag("invert", false));
  }
  if (type == "Digits")
    return std::make_unique<Characters>(
        is_numeric, part.flag("individual_digits", false) ? Behavior::kIsolated : Behavior::kContiguous);
  if (type == "Metaspace")
    return std::make_unique<Metaspace>(part.character("replacement"), scheme(part), part.flag("split", true));
  if (type == "Whitespace") return std::make_unique<WordsAndSigns>();
  if (type == "WhitespaceSplit") return space_words();
  if (type == "Punctuation")
    return std::make_unique<Characters>(is_punctuation, part.has("behavior") ? behavior(part) : Behavior::kIsolated);
  if (type == "BertPreTokenizer") return bert_words();
  if (type == "CharDelimiterSplit")
    return std::make_unique<Delimiter>(code_points(part.character("delimiter"))[0], Behavior::kRemoved);
  if (type == "UnicodeScripts") return std::make_unique<Scripts>();
  if (type == "FixedLength") {
    const std::int64_t length = part.has("length") ? part.number("length") : 5;
    if (length < 1) part.fail("'length': expected 1 or more, got " + std::to_string(length));
    return std::make_unique<FixedLength>(length);
  }
  part.fail_type(type, {"Sequence", "ByteLevel", "Split", "Digits", "Metaspace", "Whitespace", "WhitespaceSplit",
                        "Punctuation", "BertPreTokenizer", "CharDelimiterSplit", "UnicodeScripts", "FixedLength"});
}

}  // namespace vene::text
