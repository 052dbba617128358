// SPDX-License-Identifier: Apache-2.0
#include "vene/models/model.h"

namespace vene::models {
namespace {

torch::Tensor moved(const torch::Tensor& tensor, torch::Device device) {
  return tensor.defined() ? tensor.to(device) : tensor;
}

}  // namespace

Batch Batch::to(torch::Device device) const {
  Batch batch{moved(input_ids, device), moved(attention_mask, device), moved(inputs_embeds, device), {}};
  for (const torch::Tensor& tensor : extra) batch.extra.push_back(moved(tensor, device));
  return batch;
}

torch::Tensor Model::token_embedding() const {
  for (const torch::Tensor& parameter : parameters()) {
    if (parameter.dim() == 2 && parameter.size(0) == vocabulary_size() && parameter.size(1) == hidden_size())
      return parameter;
  }
  return {};
}

torch::Device Model::device() const {
  const auto all = parameters();
  return all.empty() ? torch::Device(torch::kCPU) : all.front().device();
}

torch::ScalarType Model::dtype() const {
  const auto all = parameters();
  return all.empty() ? torch::kFloat32 : all.front().scalar_type();
}

KeyValueCache KeyValueCache::rows(const torch::Tensor& indices) const {
  KeyValueCache picked;
  for (const auto& [keys, values] : layers) {
    picked.layers.emplace_back(keys.index_select(0, indices), values.index_select(0, indices));
  }
  if (attention_mask.defined()) picked.attention_mask = attention_mask.index_select(0, indices);
  return picked;
}

StageState StageState::rows(const torch::Tensor& indices) const {
  TORCH_CHECK(cache == nullptr, "rows of a state with a key-value cache cannot be picked");
  auto pick = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.index_select(0, indices) : tensor; };
  return {pick(hidden), pick(attention_mask), pick(position_ids), nullptr};
}

StageState StageState::joined(const std::vector<StageState>& states) {
  std::vector<torch::Tensor> hidden, masks, positions;
  bool padded = false;
  for (const StageState& state : states) {
    TORCH_CHECK(state.cache == nullptr, "states with a key-value cache cannot be joined");
    hidden.push_back(state.hidden);
    positions.push_back(state.position_ids);
    padded = padded || state.attention_mask.defined();
  }
  for (std::size_t i = 0; padded && i < states.size(); ++i) {
    const torch::Tensor& mask = states[i].attention_mask;
    masks.push_back(mask.defined() ? mask : torch::ones_like(positions[i], torch::kBool));
  }
  return {torch::cat(hidden, 0), padded ? torch::cat(masks, 0) : torch::Tensor(), torch::cat(positions, 0), nullptr};
}

Output StagedModel::forward(const Batch& batch, const ForwardOptions& options) {
  StageState state = run(begin(batch, options.cache), 0, layer_count());
  torch::Tensor positions;
  if (options.last_logits) {
    const std::int64_t length = state.hidden.size(1);
    positions = torch::arange(std::max<std::int64_t>(0, length - *options.last_logits), length,
                              torch::TensorOptions().dtype(torch::kInt64).device(state.hidden.device()));
  }
  return finish(state, positions);
}

}  // namespace vene::models
