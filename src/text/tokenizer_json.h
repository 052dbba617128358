// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "src/text/pipeline.h"
#include "src/text/settings.h"

namespace vene::text {

/// A tokenizer.json of the Hugging Face tokenizers library. IoError for what is malformed or not understood, naming the
/// part.
PipelineParts read_tokenizer_json(const std::string& path, const Settings& settings);

/// vocab.json + merges.txt, or encoder.json + vocab.bpe: byte-level, cut into words as the settings' class does.
PipelineParts read_vocabulary_and_merges(const std::string& vocabulary, const std::string& merges,
                                         const Settings& settings);

/// vocab.txt, a piece a line: BERT's or ESM's.
PipelineParts read_vocabulary_lines(const std::string& path, const Settings& settings);

}  // namespace vene::text
