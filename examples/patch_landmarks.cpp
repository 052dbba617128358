// SPDX-License-Identifier: Apache-2.0
// Where does what tells two prompts apart pass? One clean value at a time is put into the corrupt run, for every layer
// and position, over several pairs. Usage: patch_landmarks [model folder] [pairs file]
#include <iostream>

#include "vene/vene.h"

int main(int count, char** arguments) {
  const auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");
  const auto pairs = vene::read_pairs(count > 2 ? arguments[2] : "examples/pairs/landmarks.jsonl", lm);

  const vene::PatchGrid grid = vene::patch(lm, pairs, {.components = {"block_output"}});

  std::cout << vene::patch_title(grid) << "\n\n";
  for (const vene::HeatMap& map : vene::patch_maps(grid))
    std::cout << vene::terminal_heat_map(map, {.colour = false}) << "\n";
}
