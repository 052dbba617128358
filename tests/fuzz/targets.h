// SPDX-License-Identifier: Apache-2.0
// What is fuzzed: each takes the bytes of one file and reads it. A vene::Error is a good end; another exception, a
// crash or memory without bound is a fault. Built for libFuzzer with VENE_FUZZ, and run on tests/fuzz/corpus by the
// tests.
#pragma once
#include <string>

namespace vene_fuzz {

// Files of tensors.
void safetensors(const std::string& bytes);
void torch_archive(const std::string& bytes);
void npz(const std::string& bytes);
void gguf(const std::string& bytes);

// Tokenizers, which also encode and decode a text.
void tokenizer_json(const std::string& bytes);
void sentence_piece(const std::string& bytes);
void vocabulary_and_merges(const std::string& bytes);  ///< vocab.json, a zero byte, merges.txt

// JSON files.
void model_config(const std::string& bytes);
void intervenable_config(const std::string& bytes);
void experiment(const std::string& bytes);  ///< read, not run
void train_spec(const std::string& bytes);
void locate_task(const std::string& bytes);
void collected_index(const std::string& bytes);  ///< index.json of collected values, without its shards

}  // namespace vene_fuzz
