// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene::text {

/// One token of an encoded text.
struct Token {
  std::int64_t id = 0;
  std::string text{};               ///< what it stands for, as UTF-8 where its bytes are that (" Lily", not "ĠLily")
  std::int64_t begin = 0, end = 0;  ///< byte offsets into the encoded text; equal for tokens that were added
};

/// How a text is read.
struct EncodeOptions {
  bool special = true;       ///< add what the checkpoint adds in front and behind (a BOS token, say)
  bool read_special = true;  ///< special tokens written out in the text ("<|endoftext|>") are those; false: plain text
};

/// Text to token ids and back. Immutable: one tokenizer serves any number of threads.
class VENE_API Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of a text. `special` adds what the checkpoint adds in front and behind (a BOS token, say); special tokens
  /// written out in the text ("<|endoftext|>") are recognised either way.
  std::vector<std::int64_t> encode(std::string_view text, bool special = true) const {
    return encode(text, EncodeOptions{special, true});
  }
  virtual std::vector<std::int64_t> encode(std::string_view text, const EncodeOptions& options) const;
  /// The same, with each token's text and place.
  std::vector<Token> tokens(std::string_view text, bool special = true) const {
    return tokens(text, EncodeOptions{special, true});
  }
  virtual std::vector<Token> tokens(std::string_view text, const EncodeOptions& options) const = 0;
  /// Text of ids. Bytes that are not UTF-8 become U+FFFD. `skip_special` leaves BOS, EOS and the like out.
  virtual std::string decode(const std::vector<std::int64_t>& ids, bool skip_special = true) const = 0;
  /// What one token stands for, with its leading space.
  virtual std::string token_text(std::int64_t id) const = 0;
  virtual std::optional<std::int64_t> id_of(std::string_view piece) const = 0;  ///< by vocabulary spelling ("ĠLily")
  virtual std::int64_t size() const = 0;                                        ///< ids are below this
  /// "byte-level BPE", "SentencePiece BPE", "SentencePiece unigram", "BPE", "Unigram", "WordPiece", "WordLevel"
  virtual std::string kind() const = 0;

  std::optional<std::int64_t> bos() const { return bos_; }
  std::optional<std::int64_t> eos() const { return eos_; }
  std::optional<std::int64_t> pad() const { return pad_; }
  /// Tokens that end a generation: eos, and what generation_config.json and config.json name as eos_token_id.
  const std::vector<std::int64_t>& ends() const { return ends_; }

  /// Reads whichever tokenizer files a checkpoint folder has: tokenizer.json, tokenizer.model, vocab.json + merges.txt,
  /// encoder.json + vocab.bpe, vocab.txt; with tokenizer_config.json, special_tokens_map.json and added_tokens.json
  /// where present. Null when there is none; IoError when one is malformed or has a part that is not understood.
  static std::shared_ptr<const Tokenizer> load(const std::string& folder);

 protected:
  std::optional<std::int64_t> bos_, eos_, pad_;
  std::vector<std::int64_t> ends_;
};

}  // namespace vene::text
