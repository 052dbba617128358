// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <initializer_list>

#include "models/common/staged_site.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {

/// Whether a scope of this thread watches a module or one inside it.
inline bool any_watched(const torch::nn::Module& part) {
  if (HookScope::current() == nullptr) return false;
  for (const auto& module : part.modules()) {
    const auto* site = dynamic_cast<const HookSite*>(module.get());
    if (site != nullptr && is_watched(*site)) return true;
  }
  return false;
}

/// Logits of `tokens`, of all where these are undefined. Heads that can compute some alone do so, past their hooks.
template <class Head>
torch::Tensor logits_of(Head& head, const torch::Tensor& hidden, const torch::Tensor& embedding,
                        const torch::Tensor& tokens) {
  if constexpr (requires { head->of_tokens(hidden, embedding, tokens); }) {
    if (tokens.defined()) return head->of_tokens(hidden, embedding, tokens);
  }
  return select_tokens(head(hidden, embedding), tokens);
}

/// The last stage of a language model: final norm and head (holders; the head may be null), at `positions` and of
/// `tokens` only; `ends` are the modules that end with the norm. Where one of them is watched it runs on every position
/// and token, so that a hook's locations mean what they say. With a `cap`, logits x become cap * tanh(x / cap), and
/// pass `capped`.
template <class Norm, class Head>
Output finish_language_model(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens,
                             Norm& norm, Head& head, const torch::Tensor& embedding,
                             std::initializer_list<const StagedSite*> ends, double cap = 0,
                             HookPoint capped = nullptr) {
  const bool ends_watched =
      std::any_of(ends.begin(), ends.end(), [](const StagedSite* end) { return is_watched(*end); });
  const bool everywhere =
      ends_watched || is_watched(*norm) || (head && any_watched(*head)) || (cap > 0 && is_watched(*capped));
  Output output;
  output.last_hidden_state = norm(everywhere ? state.hidden : select_positions(state.hidden, positions));
  for (const StagedSite* end : ends) output.last_hidden_state = end->left(output.last_hidden_state);
  if (head) output.logits = logits_of(head, output.last_hidden_state, embedding, everywhere ? torch::Tensor() : tokens);
  if (head && cap > 0) output.logits = capped(torch::tanh(output.logits / cap) * cap);
  if (everywhere) {
    output.last_hidden_state = select_positions(output.last_hidden_state, positions);
    if (head) output.logits = select_tokens(select_positions(output.logits, positions), tokens);
  }
  return output;
}

}  // namespace vene::models
