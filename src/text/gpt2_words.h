// SPDX-License-Identifier: Apache-2.0
// GPT-2's expression for words (kGpt2Words), read by hand: it is what most texts are cut by, and a general matcher
// takes ten times as long. Private to text.
#pragma once
#include "src/text/cut.h"

namespace vene::text {

void gpt2_words(std::string_view text, std::vector<Match>& matches);

class Gpt2Words : public Step {
 public:
  void apply(Cut& cut) const override { cut_by(cut, Behavior::kIsolated, false, gpt2_words); }
};

}  // namespace vene::text
