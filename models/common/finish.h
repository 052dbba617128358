// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {

/// The last stage of a language model: final norm (a holder) and head (may be null), at `positions` only. Where one of
/// the two is watched it runs on every position, so that a hook's locations mean what they say.
template <class Norm>
Output finish_language_model(const StageState& state, const torch::Tensor& positions, Norm& norm, nn::OutputHead& head,
                             const torch::Tensor& embedding) {
  const bool everywhere = is_watched(*norm) || (head && is_watched(*head));
  Output output;
  output.last_hidden_state = norm(everywhere ? state.hidden : select_positions(state.hidden, positions));
  if (head) output.logits = head(output.last_hidden_state, embedding);
  if (everywhere) {
    output.last_hidden_state = select_positions(output.last_hidden_state, positions);
    if (head) output.logits = select_positions(output.logits, positions);
  }
  return output;
}

}  // namespace vene::models
