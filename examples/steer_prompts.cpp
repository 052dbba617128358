// SPDX-License-Identifier: Apache-2.0
// Two prompts of different lengths go on together, with a word added to what layer 3 computes in every decoding step.
#include <iostream>

#include "vene/vene.h"

int main() {
  auto lm = vene::models::load("assets/landmarks-gpt2");
  vene::IntervenableModel steered(
      vene::IntervenableConfig::parse(R"([{"layer": 3, "component": "mlp_output", "intervention_type": "addition"}])"),
      lm.model);
  auto written = steered->generate(
      {.base = lm.encode(std::vector<std::string>{"The Space Needle is in", "The Colosseum is in downtown"}),
       .source_representations = {10 * lm.model->token_embedding()[lm.tokenizer->encode(" Paris")[0]]},
       .original = true,
       .tokenizer = lm.tokenizer.get(),
       .generation = vene::Generation{.when = vene::When::decode()}},
      {.max_new_tokens = 20});
  std::cout << written.original->rows[0].text << "\n" << written.intervened.rows[0].text << "\n";
}
