// SPDX-License-Identifier: Apache-2.0
// Steers what a model writes: a word's embedding, times a strength, is added to the MLP output of every layer in every
// decoding step, as in Figure 1 of the pyvene paper (0.3 there; the small bundled model takes 2).
//   usage: steer_generation [MODEL_DIR [PROMPT [WORD [STRENGTH]]]]
#include <cstdio>
#include <cstdlib>

#include "vene/vene.h"

int main(int count, char** arguments) {
  const std::string prompt = count > 2 ? arguments[2] : "The Space Needle is in";
  const std::string word = count > 3 ? arguments[3] : " Rome";
  const double strength = count > 4 ? std::atof(arguments[4]) : 2;
  try {
    const auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");
    const torch::Tensor embedding = lm.model->token_embedding()[lm.tokenizer->encode(word, /*special=*/false).at(0)];

    vene::IntervenableConfig config;
    vene::add_steering(config, *lm.model, embedding,
                       {.scale = strength, .component = "mlp_output", .when = vene::When::decode()});
    vene::IntervenableModel steered(config, lm.model);

    const auto result = steered->generate(
        {.base = lm.encode(prompt), .original = true, .tokenizer = lm.tokenizer.get()}, {.max_new_tokens = 24});
    std::printf("prompt:     %s\n", prompt.c_str());
    std::printf("original:  %s\n", result.original->rows[0].text.c_str());
    std::printf("steered:   %s\n", result.intervened.rows[0].text.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
