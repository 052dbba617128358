// SPDX-License-Identifier: Apache-2.0
// The blocks that the Llama family shares; which of their parts a member has is said by LlamaOptions.
#pragma once
#include <torch/nn/cloneable.h>

#include "models/common/decoder.h"
#include "vene/models/llama.h"

namespace vene::models::llama_blocks {

class NormImpl : public torch::nn::Cloneable<NormImpl> {
 public:
  NormImpl(NormKind kind, std::int64_t width, double epsilon);
  void reset() override;
  torch::Tensor forward(const torch::Tensor& hidden);

  torch::Tensor weight;  ///< [width]; undefined for a norm without parameters

 private:
  NormKind kind_;
  std::int64_t width_;
  double epsilon_;
};
TORCH_MODULE_IMPL(Norm, Hooked<NormImpl>);

/// Token embeddings times a scale, which is rounded to the table's type first.
class TokenEmbeddingImpl : public torch::nn::Cloneable<TokenEmbeddingImpl> {
 public:
  TokenEmbeddingImpl(std::int64_t rows, std::int64_t width, double scale);
  void reset() override;
  torch::Tensor forward(const torch::Tensor& ids);

  torch::Tensor weight;  ///< [rows, width]

 private:
  std::int64_t rows_, width_;
  double scale_;
};
TORCH_MODULE_IMPL(TokenEmbedding, Hooked<TokenEmbeddingImpl>);

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const LlamaOptions& options, std::int64_t layer);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  nn::Linear q_proj, k_proj, v_proj, o_proj;
  Norm q_norm{nullptr}, k_norm{nullptr};
  HookPoint scores, pattern;

 private:
  // Projected values [batch, pos, heads * head_dim], cut and normed -> [batch, heads, pos, head_dim].
  torch::Tensor heads_of(torch::Tensor value, std::int64_t heads, Norm& norm) const;

  std::int64_t layer_, heads_, key_value_heads_;
  QueryKeyNorm query_key_norm_;
  double clip_, scale_, cap_;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class MLPImpl : public torch::nn::Module {
 public:
  explicit MLPImpl(const LlamaOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden) { return down_proj(act_fn(gate_proj(hidden)) * up_proj(hidden)); }

  nn::Linear gate_proj, up_proj, down_proj;
  nn::Activation act_fn;
};
TORCH_MODULE_IMPL(MLP, Hooked<MLPImpl>);

/// A block. `post_attention_layernorm` is Hugging Face's name for the norm before the MLP where norms come before, and
/// for the one after attention elsewhere.
class BlockImpl : public DecoderBlock {
 public:
  BlockImpl(const LlamaOptions& options, std::int64_t layer);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) override;

  Attention self_attn;
  MLP mlp;
  Norm input_layernorm{nullptr}, post_attention_layernorm{nullptr}, pre_feedforward_layernorm{nullptr},
      post_feedforward_layernorm{nullptr};

 private:
  // post_attention_layernorm or another, by what it does; null where there is none.
  Norm norm_before_mlp_{nullptr}, norm_after_attention_{nullptr};
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

}  // namespace vene::models::llama_blocks
