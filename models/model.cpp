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

torch::Device Model::device() const {
  const auto all = parameters();
  return all.empty() ? torch::Device(torch::kCPU) : all.front().device();
}

torch::ScalarType Model::dtype() const {
  const auto all = parameters();
  return all.empty() ? torch::kFloat32 : all.front().scalar_type();
}

StageState StageState::rows(const torch::Tensor& indices) const {
  TORCH_CHECK(cache == nullptr, "rows of a state with a key-value cache cannot be picked");
  auto pick = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.index_select(0, indices) : tensor; };
  return {pick(hidden), pick(attention_mask), pick(position_ids), nullptr};
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
