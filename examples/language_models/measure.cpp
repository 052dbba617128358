// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <utility>

namespace language_models {

std::vector<double> answer_probabilities(vene::models::Model& model, const Encode& encode,
                                         const std::vector<language_corpus::Prompt>& prompts) {
  const torch::NoGradGuard no_grad;
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::size_t>> alike;  // by length of text and answer
  std::vector<std::vector<std::int64_t>> ids;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::size_t text = encode(prompts[i].text).size();
    ids.push_back(encode(prompts[i].text + prompts[i].answer));
    alike[{text, ids.back().size()}].push_back(i);
  }
  std::vector<double> probabilities(prompts.size());
  for (const auto& [lengths, members] : alike) {
    const auto text = static_cast<std::int64_t>(lengths.first), whole = static_cast<std::int64_t>(lengths.second);
    torch::Tensor batch = torch::empty({static_cast<std::int64_t>(members.size()), whole}, torch::kInt64);
    for (std::size_t m = 0; m < members.size(); ++m)
      batch[static_cast<std::int64_t>(m)].copy_(torch::tensor(ids[members[m]], torch::kInt64));
    const torch::Tensor scores =
        torch::log_softmax(model.forward({batch, {}, {}, {}}).logits.slice(1, text - 1, whole - 1), -1);
    const torch::Tensor answer = scores.gather(2, batch.slice(1, text, whole).unsqueeze(2)).sum({1, 2}).exp();
    for (std::size_t m = 0; m < members.size(); ++m)
      probabilities[members[m]] = answer[static_cast<std::int64_t>(m)].item<double>();
  }
  return probabilities;
}

std::map<std::string, Count> count_known(const std::vector<language_corpus::Prompt>& prompts,
                                         const std::vector<double>& probabilities) {
  std::map<std::string, Count> by_kind;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Count& count = by_kind[prompts[i].kind];
    ++count.all;
    count.known += probabilities[i] >= 0.5 ? 1 : 0;
  }
  return by_kind;
}

}  // namespace language_models
