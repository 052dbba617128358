// SPDX-License-Identifier: Apache-2.0
// The program of the guide: parse a config, wrap a model, run it, look at what came out.
#include <iostream>

#include "vene/vene.h"

int main() {
  auto lm = vene::models::load("assets/landmarks-gpt2");
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 4, "component": "block_output"}])"),
                                  lm.model);
  auto result = patched->forward({.base = lm.encode("The Space Needle is in downtown"),
                                  .sources = {lm.encode("The Colosseum is in downtown")},
                                  .locations = vene::last()});
  std::cout << "answer:" << lm.top_tokens(result.intervened.logits, 1)[0].text << "\n";
  for (const auto& fired : result.fired)
    std::cout << fired.key << " acted " << fired.count << " time at " << fired.site << "\n";
}
