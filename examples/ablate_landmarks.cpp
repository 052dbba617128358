// SPDX-License-Identifier: Apache-2.0
// Which heads and MLPs does an answer need? Each is replaced by what it is in another prompt, and what the answer loses
// by it is drawn. Usage: ablate_landmarks [model folder] [pairs file]
#include <iostream>

#include "vene/vene.h"

int main(int count, char** arguments) {
  const auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");
  const auto pairs = vene::read_pairs(count > 2 ? arguments[2] : "examples/pairs/landmarks.jsonl", lm);

  const vene::Ablation ablation = vene::ablate(lm, pairs, {.kind = vene::AblationKind::kResampleCorrupt});

  std::cout << vene::ablation_title(ablation) << "\n\n";
  for (const vene::HeatMap& map : vene::ablation_maps(ablation))
    std::cout << vene::terminal_heat_map(map, {.colour = false}) << "\n";
}
