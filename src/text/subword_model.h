// SPDX-License-Identifier: Apache-2.0
// What turns a word into pieces of a vocabulary. Private to text.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/part.h"
#include "src/text/vocabulary.h"

namespace vene::text {

struct Subword {
  std::int64_t id = 0;
  std::uint32_t first = 0, last = 0;  ///< bytes of the word
};

class SubwordModel {
 public:
  explicit SubwordModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~SubwordModel() = default;
  /// Appends the pieces of a word. Error where the word has what the vocabulary lacks and no token stands for that.
  virtual void encode(std::string_view word, std::vector<Subword>& pieces) const = 0;
  virtual std::string kind() const = 0;  ///< "BPE" ...
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

/// The "model" of a tokenizer.json: BPE, Unigram, WordPiece or WordLevel.
std::unique_ptr<SubwordModel> read_model(const Part& part);

std::unique_ptr<SubwordModel> read_bpe(const Part& part);
std::unique_ptr<SubwordModel> read_unigram(const Part& part);
std::unique_ptr<SubwordModel> read_word_piece(const Part& part);
std::unique_ptr<SubwordModel> read_word_level(const Part& part);
/// Words that are in the vocabulary, all others are `unknown`.
std::unique_ptr<SubwordModel> word_level(Vocabulary vocabulary, const std::string& unknown);
std::unique_ptr<SubwordModel> word_piece(Vocabulary vocabulary, const std::string& unknown, const std::string& prefix,
                                         std::int64_t longest);

}  // namespace vene::text
