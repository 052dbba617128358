// SPDX-License-Identifier: Apache-2.0
#include "vene/models/attention.h"

#include <limits>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

double lowest(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kFloat16:
      return -65504.0;
    case torch::kBFloat16:
      return static_cast<double>(std::numeric_limits<c10::BFloat16>::lowest());
    case torch::kFloat64:
      return std::numeric_limits<double>::lowest();
    default:
      return std::numeric_limits<float>::lowest();
  }
}

torch::Tensor repeat_heads(const torch::Tensor& value, std::int64_t heads) {
  return value.size(1) == heads ? value : value.repeat_interleave(heads / value.size(1), 1);
}

}  // namespace

torch::Tensor position_ids(const torch::Tensor& attention_mask, std::int64_t queries) {
  const torch::Tensor ids = (attention_mask.to(torch::kInt64).cumsum(1) - 1).clamp_min(0);
  return ids.narrow(1, ids.size(1) - queries, queries);
}

StageState start_state(const Batch& batch, KeyValueCache* cache) {
  const torch::Tensor& primary = batch.primary();
  const std::int64_t rows = batch.rows(), queries = batch.positions(), past = cache != nullptr ? cache->length() : 0;
  const auto on_device = torch::TensorOptions().device(primary.device());
  StageState state;
  state.cache = cache;
  torch::Tensor mask = batch.attention_mask;
  if (mask.defined()) {
    mask = mask.to(primary.device()).ne(0);
    // Lets the kernels do without a mask. On a device, looking would cost more than it saves.
    if (mask.device().is_cpu() && mask.all().item<bool>()) mask = torch::Tensor();
  }
  const torch::Tensor past_mask = cache != nullptr ? cache->attention_mask : torch::Tensor();
  if (past_mask.defined() && past_mask.size(0) != rows) {
    throw ModelError("the cache holds " + std::to_string(past_mask.size(0)) + " rows, the batch has " +
                     std::to_string(rows));
  }
  if (mask.defined() || past_mask.defined()) {
    const auto real = on_device.dtype(torch::kBool);
    if (!mask.defined()) mask = torch::ones({rows, queries}, real);
    if (cache != nullptr) {
      if (past > 0 && !past_mask.defined()) cache->append_mask(torch::ones({rows, past}, real));
      cache->append_mask(mask);
      mask = cache->attention_mask;
    }
    state.attention_mask = mask;
    state.position_ids = position_ids(mask, queries);
  } else {
    state.position_ids = torch::arange(past, past + queries, on_device.dtype(torch::kInt64)).expand({rows, queries});
  }
  return state;
}

torch::Tensor attention_mask(const torch::Tensor& padding, std::int64_t queries, std::int64_t keys,
                             torch::TensorOptions options, std::int64_t window) {
  const bool plain = !padding.defined() && (window == 0 || window >= keys);
  if (plain && (queries == keys || queries == 1)) return {};
  const auto whole = options.dtype(torch::kInt64);
  const torch::Tensor key = torch::arange(keys, whole).unsqueeze(0);                    // [1, keys]
  const torch::Tensor query = torch::arange(keys - queries, keys, whole).unsqueeze(1);  // [queries, 1]
  torch::Tensor seen = key <= query;
  if (window > 0 && !padding.defined()) seen = seen & (key > query - window);
  seen = seen.view({1, 1, queries, keys});
  if (window > 0 && padding.defined()) {
    // Padding may stand between a prompt and what was generated after it, so nearness is counted in real tokens.
    const torch::Tensor place = padding.to(torch::kInt64).cumsum(1).view({-1, 1, 1, keys});
    seen = seen & (place > place.narrow(3, keys - queries, queries).transpose(2, 3) - window);
  }
  if (padding.defined()) {
    seen = seen & (padding.to(torch::kBool).view({-1, 1, 1, keys}) | (key == query).view({1, 1, queries, keys}));
  }
  return torch::zeros(seen.sizes(), options).masked_fill(~seen, lowest(c10::typeMetaToScalarType(options.dtype())));
}

torch::Tensor padding_mask(const torch::Tensor& padding, torch::TensorOptions options) {
  if (!padding.defined()) return {};
  const torch::Tensor hidden = padding.logical_not().view({padding.size(0), 1, 1, padding.size(1)});
  return torch::zeros(hidden.sizes(), options).masked_fill(hidden, lowest(c10::typeMetaToScalarType(options.dtype())));
}

AttentionContext attention_context(const StageState& state, std::int64_t layer, std::int64_t window,
                                   std::int64_t wanted) {
  const std::int64_t positions = state.hidden.size(1);
  std::int64_t past = 0;
  if (state.cache != nullptr && static_cast<std::size_t>(layer) < state.cache->layers.size()) {
    const torch::Tensor& held = state.cache->layers[static_cast<std::size_t>(layer)].first;
    if (held.defined()) past = held.size(2);
  }
  const torch::TensorOptions options = state.hidden.options().requires_grad(false);
  AttentionContext context;
  context.mask =
      attention_mask(state.attention_mask, wanted > 0 ? wanted : positions, past + positions, options, window);
  context.position_ids = state.position_ids;
  context.cache = state.cache;
  context.wanted = wanted;
  return context;
}

std::pair<torch::Tensor, torch::Tensor> extend_cache(KeyValueCache* cache, std::int64_t layer, torch::Tensor keys,
                                                     torch::Tensor values) {
  if (cache == nullptr) return {std::move(keys), std::move(values)};
  return cache->append(layer, std::move(keys), std::move(values));
}

torch::Tensor split_heads(const torch::Tensor& value, std::int64_t heads) {
  return value.view({value.size(0), value.size(1), heads, -1}).transpose(1, 2);
}

torch::Tensor merge_heads(const torch::Tensor& value) {
  return value.transpose(1, 2).reshape({value.size(0), value.size(2), value.size(1) * value.size(3)});
}

torch::Tensor attend(const torch::Tensor& queries, const torch::Tensor& keys, const torch::Tensor& values, double scale,
                     const torch::Tensor& mask, HookPoint& scores, HookPoint& pattern, double cap, bool causal) {
  const std::int64_t heads = queries.size(1), query_count = queries.size(2), key_count = keys.size(2);
  TORCH_CHECK(!causal || mask.defined() || query_count == 1 || query_count == key_count, "attention of ", query_count,
              " queries over ", key_count, " keys needs a mask");
  if (cap == 0 && !scores->watched() && !pattern->watched()) {
    // CUDA has no fused kernel for shared heads beside a mask, but one for either.
    const bool repeat = mask.defined() && !queries.device().is_cpu();
    return at::scaled_dot_product_attention(queries, repeat ? repeat_heads(keys, heads) : keys,
                                            repeat ? repeat_heads(values, heads) : values,
                                            mask.defined() ? std::optional(mask) : std::nullopt, 0.0,
                                            /*is_causal=*/causal && !mask.defined() && query_count > 1, scale,
                                            /*enable_gqa=*/!repeat && keys.size(1) != heads);
  }
  torch::Tensor hidden = mask;
  if (causal && !hidden.defined() && query_count > 1) {
    const auto plain = queries.options().requires_grad(false);
    hidden = attention_mask(torch::ones({1, key_count}, plain.dtype(torch::kBool)), query_count, key_count, plain);
  }
  torch::Tensor value = torch::matmul(queries, repeat_heads(keys, heads).transpose(-1, -2)) * scale;
  if (cap > 0) value = torch::tanh(value / cap) * cap;
  if (hidden.defined()) value = value + hidden;
  value = scores(value);  // [batch, head, pos, key]
  // Half types lose too much in the sum of a softmax.
  const bool half = value.scalar_type() == torch::kFloat16 || value.scalar_type() == torch::kBFloat16;
  value = half ? torch::softmax(value, -1, torch::kFloat32).to(value.scalar_type()) : torch::softmax(value, -1);
  value = pattern(value);  // [batch, head, pos, key]
  return torch::matmul(value, repeat_heads(values, heads));
}

torch::Tensor select_tokens(const torch::Tensor& logits, const torch::Tensor& tokens) {
  return tokens.defined() ? logits.index_select(-1, tokens.to(logits.device())) : logits;
}

torch::Tensor select_positions(const torch::Tensor& hidden, const torch::Tensor& positions) {
  if (!positions.defined()) return hidden;
  const torch::Tensor index = positions.to(hidden.device());
  if (index.dim() == 1) return hidden.index_select(1, index);
  if (index.dim() != 2 || index.size(0) != hidden.size(0)) {
    throw ModelError("positions to finish at: expected [n] or [" + std::to_string(hidden.size(0)) + ", n], got " +
                     shape_text(positions.sizes()));
  }
  return hidden.gather(1, index.unsqueeze(-1).expand({-1, -1, hidden.size(2)}));
}

}  // namespace vene::models
