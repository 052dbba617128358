// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "src/text/settings.h"
#include "vene/text/tokenizer.h"

namespace vene::text {

/// A SentencePiece .model, BPE or unigram, with the tokens that the files around it add. IoError if it is none.
std::shared_ptr<const Tokenizer> read_sentence_piece(const std::string& path, const Settings& settings);

}  // namespace vene::text
