// SPDX-License-Identifier: Apache-2.0
// Encoding a text: tokenize FOLDER FILE [REPEATS] prints bytes, tokens and the best seconds of REPEATS as JSON.
// tokenize_against_tokenizers.py runs it beside the tokenizers library.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "vene/io/files.h"
#include "vene/text/tokenizer.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s FOLDER FILE [REPEATS]\n", argv[0]);
    return 2;
  }
  const auto tokenizer = vene::text::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s: no tokenizer files here\n", argv[1]);
    return 1;
  }
  const std::string text = vene::io::read_file(argv[2]);
  const int repeats = argc > 3 ? std::atoi(argv[3]) : 5;
  double best = 1e30;
  std::size_t tokens = 0;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    tokens = tokenizer->encode(text).size();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::printf("{\"bytes\": %zu, \"tokens\": %zu, \"seconds\": %.4f}\n", text.size(), tokens, best);
}
