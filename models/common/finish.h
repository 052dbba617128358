// SPDX-License-Identifier: Apache-2.0
#pragma once
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

/// The last stage of a language model: final norm and head (holders; the head may be null), at `positions` only. Where one of
/// the two is watched it runs on every position, so that a hook's locations mean what they say. With a `cap`, logits x
/// become cap * tanh(x / cap), and pass `capped`. Logits of `tokens` only, where they are given.
template <class Norm, class Head>
Output finish_language_model(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens, Norm& norm, Head& head,
                             const torch::Tensor& embedding, double cap = 0, HookPoint capped = nullptr) {
  const bool everywhere = is_watched(*norm) || (head && any_watched(*head)) || (cap > 0 && is_watched(*capped));
  Output output;
  output.last_hidden_state = norm(everywhere ? state.hidden : select_positions(state.hidden, positions));
  bool few = false;  // logits of `tokens` alone are computed
  if constexpr (requires { head->of_tokens(state.hidden, embedding, tokens); }) few = head && tokens.defined() && !everywhere;
  if constexpr (requires { head->of_tokens(state.hidden, embedding, tokens); }) {
    if (few) output.logits = head->of_tokens(output.last_hidden_state, embedding, tokens);
  }
  if (head && !few) output.logits = head(output.last_hidden_state, embedding);
  if (head && cap > 0) output.logits = capped(torch::tanh(output.logits / cap) * cap);
  if (everywhere) {
    output.last_hidden_state = select_positions(output.last_hidden_state, positions);
    if (head) output.logits = select_positions(output.logits, positions);
  }
  if (head && !few) output.logits = select_tokens(output.logits, tokens);
  return output;
}

}  // namespace vene::models
