// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/targets.h"
#include "tests/test_folder.h"
#include "vene/text/tokenizer.h"

namespace vene_fuzz {
namespace {

void encode_with(const std::string& folder) {
  if (const auto tokenizer = vene::text::Tokenizer::load(folder))
    (void)tokenizer->decode(tokenizer->encode("The Space Needle, 1962 \xC3\xA9\n<|endoftext|>"));
}

}  // namespace

void tokenizer_json(const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  kFolder.write("tokenizer.json", bytes);
  encode_with(kFolder.path());
}

void sentence_piece(const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  kFolder.write("tokenizer.model", bytes);
  encode_with(kFolder.path());
}

void vocabulary_and_merges(const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  const std::size_t end = std::min(bytes.find('\0'), bytes.size());
  kFolder.write("vocab.json", bytes.substr(0, end));
  kFolder.write("merges.txt", bytes.substr(std::min(end + 1, bytes.size())));
  encode_with(kFolder.path());
}

}  // namespace vene_fuzz
