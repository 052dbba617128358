// SPDX-License-Identifier: Apache-2.0
// Where does a language model keep a fact? Noise the subject's embeddings, restore one value at a time, and see where
// the answer comes back. Usage: causal_tracing [model folder] [output folder]
#include <iostream>

#include "vene/vene.h"

int main(int count, char** arguments) {
  const auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");

  const vene::CausalTrace trace =
      vene::causal_trace(lm, "The Space Needle is in downtown", {.subject = "The Space Needle"});

  std::cout << vene::trace_title(trace) << "\n\n";
  for (const vene::HeatMap& map : vene::trace_maps(trace))
    std::cout << vene::terminal_heat_map(map, {.colour = false}) << "\n";
  if (count > 2)
    vene::draw_heat_maps({std::string(arguments[2]) + "/trace.png"}, vene::trace_maps(trace), vene::trace_title(trace));
}
