// SPDX-License-Identifier: Apache-2.0
#include "vene/models/model.h"

#include <algorithm>

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

// `held` with `more` behind it along a dimension: in `buffer` where that has room, in a new one twice as long where
// not.
torch::Tensor KeyValueCache::Buffers::grown(const torch::Tensor& held, torch::Tensor& buffer, torch::Tensor more,
                                            std::int64_t dim, std::int64_t reserve) {
  const std::int64_t past = held.defined() ? held.size(dim) : 0, total = past + more.size(dim);
  const bool differentiable =
      torch::GradMode::is_enabled() && (more.requires_grad() || (held.defined() && held.requires_grad()));
  if (differentiable || (past == 0 && total >= reserve)) {
    buffer = torch::Tensor();
    return past > 0 ? torch::cat({held, more}, dim) : more;
  }
  std::vector<std::int64_t> expected = more.sizes().vec();
  if (past > 0) {
    expected[static_cast<std::size_t>(dim)] = past;
    TORCH_CHECK(held.sizes() == c10::IntArrayRef(expected), "the cache holds ", held.sizes(),
                ", what is appended has the shape ", more.sizes());
  }
  const torch::NoGradGuard no_grad;
  const bool room = buffer.defined() && buffer.size(dim) >= total && buffer.scalar_type() == more.scalar_type() &&
                    buffer.device() == more.device() && (past == 0 || held.data_ptr() == buffer.data_ptr()) &&
                    buffer.narrow(dim, 0, more.size(dim)).sizes() == more.sizes();
  if (!room) {
    std::vector<std::int64_t> sizes = more.sizes().vec();
    sizes[static_cast<std::size_t>(dim)] = std::max(reserve, 2 * total);
    buffer = torch::empty(sizes, more.options());
    ++allocations;
    if (past > 0) buffer.narrow(dim, 0, past).copy_(held);
  }
  buffer.narrow(dim, past, more.size(dim)).copy_(more);
  return buffer.narrow(dim, 0, total);
}

const std::pair<torch::Tensor, torch::Tensor>& KeyValueCache::append(std::int64_t layer, torch::Tensor keys,
                                                                     torch::Tensor values) {
  const auto index = static_cast<std::size_t>(layer);
  if (layers.size() <= index) layers.resize(index + 1);
  if (buffers_.layers.size() <= index) buffers_.layers.resize(index + 1);
  auto& held = layers[index];
  auto& buffer = buffers_.layers[index];
  held.first = buffers_.grown(held.first, buffer.first, std::move(keys), 2, reserve);
  held.second = buffers_.grown(held.second, buffer.second, std::move(values), 2, reserve);
  return held;
}

void KeyValueCache::append_mask(const torch::Tensor& mask) {
  attention_mask = buffers_.grown(attention_mask, buffers_.mask, mask, 1, reserve);
}

StageState StageState::rows(const torch::Tensor& indices) const {
  TORCH_CHECK(cache == nullptr, "rows of a state with a key-value cache cannot be picked");
  auto pick = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.index_select(0, indices) : tensor; };
  return {pick(hidden), pick(attention_mask), pick(position_ids), nullptr, wanted};
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
  StageState state = begin(batch, options.cache);
  state.wanted = options.last_logits.value_or(0);
  state = run(std::move(state), 0, layer_count());
  torch::Tensor positions;
  if (options.last_logits) {
    const std::int64_t length = state.hidden.size(1);
    positions = torch::arange(std::max<std::int64_t>(0, length - *options.last_logits), length,
                              torch::TensorOptions().dtype(torch::kInt64).device(state.hidden.device()));
  }
  return finish(state, positions);
}

}  // namespace vene::models
