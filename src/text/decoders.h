// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/text/part.h"

namespace vene::text {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Pieces as spelled to pieces of text.
  virtual void decode(std::vector<std::string>& pieces) const = 0;
  /// What one piece stands for by itself, with the space that belongs to it, as bytes.
  virtual std::string one(std::string piece) const { return piece; }
};

/// What a tokenizer.json calls a decoder; IoError naming what is not understood.
std::unique_ptr<Decoder> read_decoder(const Part& part, int depth = 0);

std::unique_ptr<Decoder> byte_level_decoder();
std::unique_ptr<Decoder> word_piece_decoder(std::string prefix, bool clean);

}  // namespace vene::text
