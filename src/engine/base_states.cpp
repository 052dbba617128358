// SPDX-License-Identifier: Apache-2.0
#include "src/engine/base_states.h"

#include <algorithm>

namespace vene::engine {
namespace {

torch::Tensor rows_of(const torch::Tensor& tensor, const torch::Tensor& picked) {
  if (!tensor.defined()) return tensor;
  // One row of positions may stand for all rows.
  return tensor.size(0) == 1 ? tensor.expand({picked.numel(), -1}) : tensor.index_select(0, picked);
}

}  // namespace

bool BaseStates::keeps_past(const models::StagedModel& model) const {
  return !model.reads_ahead() && static_cast<std::int64_t>(past.layers.size()) == model.layer_count() &&
         std::all_of(past.layers.begin(), past.layers.end(), [this](const auto& layer) {
           return layer.first.defined() && layer.first.dim() == 4 && layer.first.size(2) == positions;
         });
}

torch::Tensor BaseStates::entering(std::int64_t stage, const torch::Tensor& picked, std::int64_t begin) const {
  return hidden.at(stage).narrow(1, begin, positions - begin).index_select(0, picked);
}

models::StageState BaseStates::shape(const torch::Tensor& picked, std::int64_t begin) const {
  models::StageState state;
  state.attention_mask = rows_of(attention_mask, picked);
  if (position_ids.defined()) state.position_ids = rows_of(position_ids.narrow(1, begin, positions - begin), picked);
  return state;
}

models::KeyValueCache BaseStates::past_of(const torch::Tensor& picked, std::int64_t first, std::int64_t last,
                                          std::int64_t begin) const {
  models::KeyValueCache some;
  some.layers.resize(static_cast<std::size_t>(last));
  for (std::int64_t stage = first; stage < last; ++stage) {
    const auto& [keys, values] = past.layers[static_cast<std::size_t>(stage)];
    some.layers[static_cast<std::size_t>(stage)] = {keys.narrow(2, 0, begin).index_select(0, picked),
                                                    values.narrow(2, 0, begin).index_select(0, picked)};
  }
  return some;
}

}  // namespace vene::engine
