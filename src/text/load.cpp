// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "src/text/sentence_piece.h"
#include "src/text/settings.h"
#include "src/text/tokenizer_json.h"
#include "vene/base/error.h"

namespace vene::text {

namespace fs = std::filesystem;

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<std::int64_t> ids;
  for (const Token& token : tokens(text, options)) ids.push_back(token.id);
  return ids;
}

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& folder) {
  const fs::path root(folder);
  if (!fs::is_directory(root)) throw IoError(folder + ": no such folder");
  const auto there = [&](const char* name) { return fs::exists(root / name); };
  const auto path = [&](const char* name) { return (root / name).string(); };
  const Settings settings(root);
  if (there("tokenizer.json")) return std::make_shared<Pipeline>(read_tokenizer_json(path("tokenizer.json"), settings));
  if (there("tokenizer.model")) return read_sentence_piece(path("tokenizer.model"), settings);
  for (const auto& [vocabulary, merges] :
       {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")}) {
    if (there(vocabulary) != there(merges)) {
      throw IoError(path(there(vocabulary) ? vocabulary : merges) + ": its other half '" +
                    (there(vocabulary) ? merges : vocabulary) + "' is missing beside it");
    }
    if (there(vocabulary))
      return std::make_shared<Pipeline>(read_vocabulary_and_merges(path(vocabulary), path(merges), settings));
  }
  if (there("vocab.txt")) return std::make_shared<Pipeline>(read_vocabulary_lines(path("vocab.txt"), settings));
  return nullptr;
}

}  // namespace vene::text
