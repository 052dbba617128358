// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "src/text/byte_level.h"

namespace vene::text {

/// A tokenizer.json of the Hugging Face tokenizers library, where it is a byte-level BPE; null where it is another kind
/// of BPE. IoError for what is malformed or not supported, naming the part.
std::unique_ptr<ByteLevelTokenizer> read_tokenizer_json(const std::string& path);

/// vocab.json + merges.txt, or encoder.json + vocab.bpe.
std::unique_ptr<ByteLevelTokenizer> read_vocabulary_and_merges(const std::string& vocabulary,
                                                               const std::string& merges);

}  // namespace vene::text
