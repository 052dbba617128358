// SPDX-License-Identifier: Apache-2.0
// Tokens to text, one at a time. Private to core.
#pragma once
#include <string>
#include <vector>

#include "vene/text/tokenizer.h"

namespace vene::detail {

/// The text of one row's new tokens as it grows. Characters come out whole; what may be the beginning of a stop text is
/// held back until it is known.
class TextStream {
 public:
  TextStream(const text::Tokenizer* tokenizer, const std::vector<std::string>* stop_texts,
             const std::vector<std::int64_t>& prompt);
  /// Adds a token. True where the text has come to a stop text, which is cut off.
  bool add(std::int64_t id);
  /// Nothing more comes: what was held back is part of the text.
  void finish();
  /// What has become certain since the last call.
  std::string take();
  const std::string& text() const { return text_; }

 private:
  bool extend(bool whole_characters);
  const text::Tokenizer* tokenizer_;
  const std::vector<std::string>* stop_texts_;
  std::vector<std::int64_t> window_;  // the last tokens, of which the first `read_` are in the text already
  std::size_t read_ = 0;
  std::string text_;
  std::size_t taken_ = 0, certain_ = 0;
};

}  // namespace vene::detail
