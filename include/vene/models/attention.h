// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "vene/base/export.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/tensor_refs.h"
#include "vene/models/model.h"

namespace vene::models {

/// What the attention of every layer of one `run` shares.
struct AttentionContext {
  torch::Tensor mask{};  ///< additive, as `attention_mask` makes it; undefined: nothing is hidden but by causality
  torch::Tensor position_ids{};    ///< [batch, pos]
  KeyValueCache* cache = nullptr;  ///< read and extended
  /// Cosines and sines of rotary positions; undefined where there are none
  std::pair<torch::Tensor, torch::Tensor> angles{};
  std::int64_t wanted = 0;  ///< so many of the last positions are wanted of a block, which the others only give keys
                            ///< and values to; 0: all

  /// The wanted positions of a value [.., pos, ..]; all of it where all are wanted.
  torch::Tensor wanted_of(const torch::Tensor& value, std::int64_t dim = 1) const {
    return wanted == 0 ? value : value.narrow(dim, value.size(dim) - wanted, wanted);
  }
  /// The angles of the wanted positions.
  std::pair<torch::Tensor, torch::Tensor> wanted_angles() const {
    return {wanted_of(angles.first, 2), wanted_of(angles.second, 2)};
  }
};

/// Hooks on a module that takes a context see the angles among its inputs, where there are any.
inline void collect_tensors(vene::detail::TensorRefs& refs, AttentionContext& context) {
  if (context.angles.first.defined()) vene::detail::collect_tensors(refs, context.angles);
}

/// The state before the embeddings are looked up: attention_mask (over cached and new positions, boolean; undefined
/// when nothing is padded), position_ids and cache. `hidden` is left to the model. Extends the cache's own mask.
VENE_API StageState start_state(const Batch& batch, KeyValueCache* cache);

/// Position ids [batch, pos] of the last `queries` positions of a mask [batch, keys]: real tokens count from 0,
/// whatever is padded in front of them. Padded positions get a valid id that nothing depends on.
VENE_API torch::Tensor position_ids(const torch::Tensor& attention_mask, std::int64_t queries);

/// The context for running layer `layer` and those after it from `state`; with `wanted`, for one that computes its last
/// positions only.
VENE_API AttentionContext attention_context(const StageState& state, std::int64_t layer, std::int64_t window = 0,
                                            std::int64_t wanted = 0);

/// The additive mask [batch or 1, 1, queries, keys] of causal attention: 0 where a query may look and the lowest number
/// of `dtype` where it may not. The queries are the last of the keys. `padding` [batch, keys] is true for real tokens,
/// or undefined. A query sees at most the `window` nearest real tokens, itself included (0: all). A padded query sees
/// itself, so no row is empty. Undefined when `attend` can do without: nothing is hidden but by plain causality.
VENE_API torch::Tensor attention_mask(const torch::Tensor& padding, std::int64_t queries, std::int64_t keys,
                                      torch::TensorOptions options, std::int64_t window = 0);

/// The additive mask [batch, 1, 1, keys] of attention in both directions: 0 for real tokens and the lowest number of
/// `dtype` for padding. `padding` [batch, keys] is true for real tokens; undefined: nothing is padded, and so is the
/// result.
VENE_API torch::Tensor padding_mask(const torch::Tensor& padding, torch::TensorOptions options);

/// Appends keys and values [batch, key_value_heads, pos, d_head] to a layer of the cache (nullptr: none) and returns
/// all that the layer's queries may look at.
VENE_API std::pair<torch::Tensor, torch::Tensor> extend_cache(KeyValueCache* cache, std::int64_t layer,
                                                              torch::Tensor keys, torch::Tensor values);

/// [batch, pos, heads * d_head] -> [batch, heads, pos, d_head], and back.
VENE_API torch::Tensor split_heads(const torch::Tensor& value, std::int64_t heads);
VENE_API torch::Tensor merge_heads(const torch::Tensor& value);

/// Attention, causal where no mask is given unless `causal` is false. queries [batch, heads, pos, d_head], keys and
/// values [batch, key_value_heads, key, d_head], where heads is a multiple of key_value_heads -> [batch, heads, pos,
/// d_head]. `scores` [batch, heads, pos, key] is the value just before the softmax, scaled and masked (hidden places
/// hold the lowest number of the dtype); `pattern` is the softmax of it. The fused kernel runs unless one of the two is
/// watched, or there is a soft `cap`: scores x become cap * tanh(x / cap) before they are masked.
VENE_API torch::Tensor attend(const torch::Tensor& queries, const torch::Tensor& keys, const torch::Tensor& values,
                              double scale, const torch::Tensor& mask, HookPoint& scores, HookPoint& pattern,
                              double cap = 0, bool causal = true);

/// logits [.., n] of `tokens` ([m], int64) -> [.., m]; all of them when undefined.
VENE_API torch::Tensor select_tokens(const torch::Tensor& logits, const torch::Tensor& tokens);

/// hidden [batch, pos, d] at `positions` ([n] or [batch, n], int64) -> [batch, n, d]; all of it when undefined.
VENE_API torch::Tensor select_positions(const torch::Tensor& hidden, const torch::Tensor& positions);

/// Whether a scope of this thread watches a module.
inline bool is_watched(const HookSite& site) noexcept {
  const HookScope* scope = HookScope::current();
  return scope != nullptr && scope->watches(site.site_id());
}

}  // namespace vene::models
