// SPDX-License-Identifier: Apache-2.0
#include "models/llama_family/blocks.h"

#include <cmath>

#include "models/common/rotary.h"

namespace vene::models::llama_blocks {
namespace {

torch::nn::LinearOptions linear(std::int64_t in, std::int64_t out, bool bias) {
  return torch::nn::LinearOptions(in, out).bias(bias);
}

torch::Tensor normed(const torch::Tensor& value, Norm& norm) {
  return norm ? norm(value) : value;
}

}  // namespace

NormImpl::NormImpl(NormKind kind, std::int64_t width, double epsilon) : kind_(kind), width_(width), epsilon_(epsilon) {
  NormImpl::reset();
}

void NormImpl::reset() {
  if (kind_ == NormKind::kLayer) return;
  weight = register_parameter("weight", kind_ == NormKind::kRmsOffset ? torch::zeros({width_}) : torch::ones({width_}));
}

torch::Tensor NormImpl::forward(const torch::Tensor& hidden) {
  const torch::ScalarType type = hidden.scalar_type();
  const torch::Tensor wide = hidden.to(torch::kFloat32);
  if (kind_ == NormKind::kLayer) return torch::layer_norm(wide, {width_}, {}, {}, epsilon_).to(type);
  const torch::Tensor norm = wide * torch::rsqrt(wide.pow(2).mean(-1, true) + epsilon_);
  if (kind_ == NormKind::kRmsOffset) return (norm * (1.0 + weight.to(torch::kFloat32))).to(type);
  if (kind_ == NormKind::kRmsWide) return (weight * norm).to(type);
  return weight * norm.to(type);
}

TokenEmbeddingImpl::TokenEmbeddingImpl(std::int64_t rows, std::int64_t width, double scale)
    : rows_(rows), width_(width), scale_(scale) {
  TokenEmbeddingImpl::reset();
}

void TokenEmbeddingImpl::reset() {
  weight = register_parameter("weight", nn::embedding_options(rows_, width_)._weight());
}

torch::Tensor TokenEmbeddingImpl::forward(const torch::Tensor& ids) {
  const torch::Tensor tokens = torch::embedding(weight, ids);
  if (scale_ == 1) return tokens;
  return tokens * torch::tensor(scale_, torch::kFloat64).to(torch::kFloat32).to(weight.scalar_type()).item<double>();
}

AttentionImpl::AttentionImpl(const LlamaOptions& options, std::int64_t layer)
    : q_proj(linear(options.hidden_size, options.num_attention_heads * options.head_dim, options.attention_bias)),
      k_proj(linear(options.hidden_size, options.num_key_value_heads * options.head_dim, options.attention_bias)),
      v_proj(linear(options.hidden_size, options.num_key_value_heads * options.head_dim, options.attention_bias)),
      o_proj(
          linear(options.num_attention_heads * options.head_dim, options.hidden_size, options.attention_output_bias)),
      layer_(layer),
      heads_(options.num_attention_heads),
      key_value_heads_(options.num_key_value_heads),
      query_key_norm_(options.query_key_norm),
      clip_(options.clip_qkv),
      scale_(options.attention_scale > 0 ? options.attention_scale
                                         : 1.0 / std::sqrt(static_cast<double>(options.head_dim))),
      cap_(options.attention_cap) {
  register_module("q_proj", q_proj);
  register_module("k_proj", k_proj);
  register_module("v_proj", v_proj);
  register_module("scores", scores);
  register_module("pattern", pattern);
  register_module("o_proj", o_proj);
  if (query_key_norm_ == QueryKeyNorm::kNone) return;
  const bool whole = query_key_norm_ == QueryKeyNorm::kWhole;
  q_norm = register_module("q_norm", Norm(options.norm, options.head_dim * (whole ? heads_ : 1), options.rms_norm_eps));
  k_norm = register_module("k_norm",
                           Norm(options.norm, options.head_dim * (whole ? key_value_heads_ : 1), options.rms_norm_eps));
}

torch::Tensor AttentionImpl::heads_of(torch::Tensor value, std::int64_t heads, Norm& norm) const {
  if (clip_ > 0) value = value.clamp(-clip_, clip_);
  if (query_key_norm_ == QueryKeyNorm::kWhole) value = normed(value, norm);
  value = value.view({value.size(0), value.size(1), heads, -1});
  if (query_key_norm_ == QueryKeyNorm::kEachHead) value = normed(value, norm);
  return value.transpose(1, 2);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  Norm none{nullptr};
  const torch::Tensor queries =
      rotate(heads_of(q_proj(context.wanted_of(hidden)), heads_, q_norm), context.wanted_angles());
  torch::Tensor new_keys = rotate(heads_of(k_proj(hidden), key_value_heads_, k_norm), context.angles);
  torch::Tensor new_values = heads_of(v_proj(hidden), key_value_heads_, none);
  const auto [keys, values] = extend_cache(context.cache, layer_, std::move(new_keys), std::move(new_values));
  return o_proj(merge_heads(
      attend(queries, keys, values, scale_, context.mask, scores, pattern, cap_)));  // [batch, wanted pos, hidden_size]
}

MLPImpl::MLPImpl(const LlamaOptions& options)
    : gate_proj(linear(options.hidden_size, options.intermediate_size, options.mlp_bias)),
      up_proj(linear(options.hidden_size, options.intermediate_size, options.mlp_bias)),
      down_proj(linear(options.intermediate_size, options.hidden_size, options.mlp_bias)),
      act_fn(options.hidden_act) {
  register_module("gate_proj", gate_proj);
  register_module("up_proj", up_proj);
  register_module("down_proj", down_proj);
  register_module("act_fn", act_fn);
}

BlockImpl::BlockImpl(const LlamaOptions& options, std::int64_t layer) : self_attn(options, layer), mlp(options) {
  register_module("self_attn", self_attn);
  register_module("mlp", mlp);
  const auto norm = [&](const char* name) {
    return register_module(name, Norm(options.norm, options.hidden_size, options.rms_norm_eps));
  };
  const bool before = options.norm_placement != NormPlacement::kAfter,
             after = options.norm_placement != NormPlacement::kBefore;
  if (before) input_layernorm = norm("input_layernorm");
  post_attention_layernorm = norm("post_attention_layernorm");
  if (before && after) pre_feedforward_layernorm = norm("pre_feedforward_layernorm");
  if (after) post_feedforward_layernorm = norm("post_feedforward_layernorm");
  norm_before_mlp_ = after ? pre_feedforward_layernorm : post_attention_layernorm;
  if (after) norm_after_attention_ = post_attention_layernorm;
}

torch::Tensor BlockImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  const torch::Tensor middle =
      context.wanted_of(hidden) + normed(self_attn(normed(hidden, input_layernorm), context), norm_after_attention_);
  return middle +
         normed(mlp(normed(middle, norm_before_mlp_)), post_feedforward_layernorm);  // [batch, pos, hidden_size]
}

}  // namespace vene::models::llama_blocks
