// SPDX-License-Identifier: Apache-2.0
// The program of the README: put the Colosseum's residual stream into a sentence about the Space Needle.
#include <iostream>

#include "vene/vene.h"

int main(int count, char** arguments) {
  auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"({"representations":
      [{"layer": 4, "component": "block_output", "intervention_type": "vanilla"}]})"),
                                  lm.model);
  auto result = patched->forward({.base = lm.encode("The Space Needle is in downtown"),
                                  .sources = {lm.encode("The Colosseum is in downtown")},
                                  .locations = vene::last(),
                                  .original = true});
  std::cout << "original:\n";
  for (const auto& token : lm.top_tokens(result.original->logits, 3))
    std::cout << "  " << token.text << " " << token.probability << "\n";
  std::cout << "intervened:\n";
  for (const auto& token : lm.top_tokens(result.intervened.logits, 3))
    std::cout << "  " << token.text << " " << token.probability << "\n";
}
