// SPDX-License-Identifier: Apache-2.0
// Tokens a second of greedy decoding, plain and with an addition on every layer's MLP output in every decoding step,
// rounds taken in turn.
//   usage: decode MODEL_DIR [TOKENS [ROUNDS [THREADS]]]
// Prints one line a setting: batch, plain or added, the best round's tokens a second, and the first row's tokens for
// whoever compares.
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "vene/vene.h"

int main(int count, char** arguments) try {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s MODEL_DIR [TOKENS [ROUNDS [THREADS]]]\n", arguments[0]);
    return 2;
  }
  const std::int64_t tokens = count > 2 ? std::atoi(arguments[2]) : 64;
  const int rounds = count > 3 ? std::atoi(arguments[3]) : 3;
  torch::set_num_threads(count > 4 ? std::atoi(arguments[4]) : 1);
  const auto lm = vene::models::load(arguments[1]);
  const vene::GenerateOptions options{.max_new_tokens = tokens, .ignore_eos = true};
  vene::IntervenableConfig config;
  const torch::Tensor push = 0.3 * lm.model->token_embedding()[3290];
  vene::add_steering(config, *lm.model, vene::every_layer(*lm.model, push),
                     {.component = "mlp_output", .when = vene::When::decode()});
  vene::IntervenableModel added(config, lm.model);
  for (const std::int64_t batch : {1, 16}) {
    const vene::models::Batch prompts{.input_ids =
                                          torch::arange(100, 108, torch::kInt64).expand({batch, -1}).contiguous()};
    const vene::Plan plan = added->compile({.base = prompts, .generation = vene::Generation{}});
    std::map<std::string, double> best;
    std::map<std::string, std::vector<std::int64_t>> said;
    for (int round = 0; round < rounds; ++round) {
      for (const std::string what : {"plain", "added"}) {
        const auto started = std::chrono::steady_clock::now();
        const vene::Generated result = what == "plain" ? vene::generate(*lm.model, prompts, options)
                                                       : vene::generate(plan, prompts, {}, options).intervened;
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        best[what] = std::max(best[what], static_cast<double>(batch * tokens) / seconds);
        said[what] = result.rows[0].ids;
      }
    }
    for (const std::string what : {"plain", "added"}) {
      std::printf("%lld %s %.2f", static_cast<long long>(batch), what.c_str(), best[what]);
      for (const std::int64_t id : said[what]) std::printf(" %lld", static_cast<long long>(id));
      std::printf("\n");
    }
  }
  return 0;
} catch (const vene::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
