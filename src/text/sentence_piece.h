// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "vene/text/tokenizer.h"

namespace vene::text {

/// A SentencePiece .model, BPE or unigram. IoError if it is none.
/// @param add_bos, add_eos  what `special` puts around a text
std::shared_ptr<const Tokenizer> read_sentence_piece(const std::string& path, bool add_bos, bool add_eos);

}  // namespace vene::text
