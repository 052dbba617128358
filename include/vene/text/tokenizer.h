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

/// Text to token ids and back. Immutable: one tokenizer serves any number of threads.
class VENE_API Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of a text. `special` adds what the checkpoint adds in front and behind (a BOS token, say); special tokens
  /// written out in the text ("<|endoftext|>") are recognised either way.
  std::vector<std::int64_t> encode(std::string_view text, bool special = true) const;
  /// The same, with each token's text and place.
  virtual std::vector<Token> tokens(std::string_view text, bool special = true) const = 0;
  /// Text of ids. Bytes that are not UTF-8 become U+FFFD. `skip_special` leaves BOS, EOS and the like out.
  virtual std::string decode(const std::vector<std::int64_t>& ids, bool skip_special = true) const = 0;
  /// What one token stands for, with its leading space.
  virtual std::string token_text(std::int64_t id) const = 0;
  virtual std::optional<std::int64_t> id_of(std::string_view piece) const = 0;  ///< by vocabulary spelling ("ĠLily")
  virtual std::int64_t size() const = 0;                                        ///< ids are below this
  virtual std::string kind() const = 0;  ///< "byte-level BPE", "SentencePiece BPE", "SentencePiece unigram"

  std::optional<std::int64_t> bos() const { return bos_; }
  std::optional<std::int64_t> eos() const { return eos_; }
  std::optional<std::int64_t> pad() const { return pad_; }

  /// Reads whichever tokenizer files a checkpoint folder has: tokenizer.json, tokenizer.model, vocab.json + merges.txt,
  /// encoder.json + vocab.bpe; with tokenizer_config.json and special_tokens_map.json where present. Null when there is
  /// none; IoError when one is malformed.
  static std::shared_ptr<const Tokenizer> load(const std::string& folder);

 protected:
  std::optional<std::int64_t> bos_, eos_, pad_;
};

}  // namespace vene::text
