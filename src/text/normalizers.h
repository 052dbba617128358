// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "src/text/cut.h"
#include "src/text/part.h"

namespace vene::text {

/// What a tokenizer.json calls a normalizer; IoError naming what is not understood.
std::unique_ptr<Step> read_normalizer(const Part& part, int depth = 0);

/// Those that are written without a file.
std::unique_ptr<Step> bert_normalizer(bool clean, bool chinese, bool strip_accents, bool lower);
std::unique_ptr<Step> nfc_normalizer();

/// A normalizer by a SentencePiece model's table ("Precompiled"), in base64.
std::unique_ptr<Step> precompiled_normalizer(std::string charsmap, const Part& part);

}  // namespace vene::text
