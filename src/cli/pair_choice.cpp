// SPDX-License-Identifier: Apache-2.0
#include "src/cli/pair_choice.h"

#include "src/cli/command.h"

namespace vene::cli {

void PairChoice::add_to(CLI::App& command, const std::string& name, const std::string& seeded) {
  command.add_option("--pairs", file, "File of pairs of prompts, a JSON object a line; - is standard input")
      ->type_name("FILE");
  command.add_option("-p,--prompt", prompt, "The clean prompt, in the place of --pairs")->type_name("TEXT");
  command.add_option("--corrupt", corrupt, "The corrupt prompt")->type_name("TEXT");
  command
      .add_option("--answers", answers,
                  "The right and the wrong answer, one token each, as they follow the prompt: ' Rome' ' Paris'")
      ->expected(1, 2)
      ->type_name("TEXT TEXT");
  command.add_option("--metric", metric, "What is measured at the last token")
      ->check(CLI::IsMember({"logit_diff", "prob", "logprob", "kl", "rank"}))
      ->option_text("NAME=logit_diff");
  command.add_flag("--per-pair", per_pair, "Also write " + name + "_pairs.csv, with the values of each pair");
  command.add_option("--bootstrap", bootstrap, "Add 95 % intervals of the means, from N resamples of the pairs")
      ->check(CLI::Range(1, 1000000))
      ->option_text("N");
  command.add_option("--seed", seed, "Seed of " + seeded)->check(not_a_count)->option_text("N=1");
}

void PairChoice::check(bool needs_corrupt) const {
  const bool spelt = !prompt.empty() || !corrupt.empty() || !answers.empty();
  if (file.empty() && prompt.empty()) throw UsageError("prompts: expected --pairs FILE, or --prompt TEXT");
  if (!file.empty() && spelt)
    throw UsageError(
        "--pairs has the prompts and their answers, so --prompt, --corrupt and --answers do not go with it");
  if (file.empty() && needs_corrupt && corrupt.empty())
    throw UsageError("--corrupt: --prompt needs the prompt that it is compared with");
}

std::vector<PromptPair> PairChoice::read(const models::LanguageModel& model) const {
  if (file.empty()) return {prompt_pair(model, prompt, corrupt, answers)};
  return parse_pairs(read_input(file), model, file == "-" ? "standard input" : file);
}

}  // namespace vene::cli
