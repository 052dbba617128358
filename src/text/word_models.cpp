// SPDX-License-Identifier: Apache-2.0
// WordPiece, WordLevel, and which model a tokenizer.json has.
#include "src/base/readable.h"
#include "src/text/subword_model.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

class WordLevel : public SubwordModel {
 public:
  WordLevel(Vocabulary vocabulary, const std::string& unknown)
      : SubwordModel(std::move(vocabulary)), unknown_(vocabulary_.id(unknown)) {}
  std::string kind() const override { return "WordLevel"; }
  void encode(std::string_view word, std::vector<Subword>& pieces) const override {
    const auto found = vocabulary_.id(word);
    if (!found && !unknown_)
      throw Error("the tokenizer has no token for '" + shortened(word) + "', and no unknown token");
    pieces.push_back({found ? *found : *unknown_, 0, static_cast<std::uint32_t>(word.size())});
  }

 private:
  std::optional<std::int64_t> unknown_;
};

class WordPiece : public SubwordModel {
 public:
  WordPiece(Vocabulary vocabulary, const std::string& unknown, std::string prefix, std::int64_t longest)
      : SubwordModel(std::move(vocabulary)),
        unknown_(vocabulary_.id(unknown)),
        prefix_(std::move(prefix)),
        longest_(longest) {}
  std::string kind() const override { return "WordPiece"; }

  // The longest piece that the word begins with, then the longest that goes on from there.
  void encode(std::string_view word, std::vector<Subword>& pieces) const override {
    const std::size_t kept = pieces.size();
    if (!word.empty() && !try_encode(word, pieces)) {
      pieces.resize(kept);
      if (!unknown_) throw Error("the tokenizer has no tokens for '" + shortened(word) + "', and no unknown token");
      pieces.push_back({*unknown_, 0, static_cast<std::uint32_t>(word.size())});
    }
  }

 private:
  bool try_encode(std::string_view word, std::vector<Subword>& pieces) const {
    std::vector<std::size_t> ends;  // of its characters
    for (std::size_t at = 0; at < word.size(); ends.push_back(at)) {
      if (static_cast<std::int64_t>(ends.size()) == longest_) return false;
      next_code(word, at);
    }
    std::string piece;
    std::size_t from = 0;  // in `ends`
    for (std::size_t begin = 0; begin < word.size(); begin = ends[from - 1]) {
      std::size_t to = ends.size();
      std::optional<std::int64_t> id;
      for (; to > from && !id; --to) {
        piece = begin > 0 ? prefix_ : "";
        piece += word.substr(begin, ends[to - 1] - begin);
        id = vocabulary_.id(piece);
        if (id) break;
      }
      if (!id) return false;
      pieces.push_back({*id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(ends[to - 1])});
      from = to;
    }
    return true;
  }

  std::optional<std::int64_t> unknown_;
  std::string prefix_;
  std::int64_t longest_;
};

// Files from before models named their type are told by what they have.
std::string type_of(const Part& part) {
  if (part.has("type")) return part.type();
  if (part.has("merges")) return "BPE";
  if (part.has("max_input_chars_per_word")) return "WordPiece";
  if (part.has("vocab")) return part.at("vocab").json().is_array() ? "Unigram" : "WordLevel";
  part.fail("'type' is missing, and so is 'vocab'");
}

}  // namespace

std::unique_ptr<SubwordModel> word_level(Vocabulary vocabulary, const std::string& unknown) {
  return std::make_unique<WordLevel>(std::move(vocabulary), unknown);
}
std::unique_ptr<SubwordModel> word_piece(Vocabulary vocabulary, const std::string& unknown, const std::string& prefix,
                                         std::int64_t longest) {
  return std::make_unique<WordPiece>(std::move(vocabulary), unknown, prefix, longest);
}

std::unique_ptr<SubwordModel> read_word_level(const Part& part) {
  return word_level(Vocabulary::read(part, "vocab"), part.text_if("unk_token").value_or("<unk>"));
}

std::unique_ptr<SubwordModel> read_word_piece(const Part& part) {
  const std::int64_t longest = part.has("max_input_chars_per_word") ? part.number("max_input_chars_per_word") : 100;
  constexpr std::int64_t kMost = 10'000;
  if (longest < 0 || longest > kMost)
    part.fail("max_input_chars_per_word is " + std::to_string(longest) + "; expected 0 to " + std::to_string(kMost));
  return word_piece(Vocabulary::read(part, "vocab"), part.text_if("unk_token").value_or("[UNK]"),
                    part.text_if("continuing_subword_prefix").value_or("##"), longest);
}

std::unique_ptr<SubwordModel> read_model(const Part& part) {
  const std::string type = type_of(part);
  if (type == "BPE") return read_bpe(part);
  if (type == "Unigram") return read_unigram(part);
  if (type == "WordPiece") return read_word_piece(part);
  if (type == "WordLevel") return read_word_level(part);
  part.fail_type(type, {"BPE", "Unigram", "WordPiece", "WordLevel"});
}

}  // namespace vene::text
