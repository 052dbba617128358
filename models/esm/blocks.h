// SPDX-License-Identifier: Apache-2.0
// What ESM is made of, by the names of its checkpoints.
#pragma once
#include <torch/nn/modules/container/modulelist.h>

#include <vector>

#include "models/common/encoder.h"
#include "models/common/rotary.h"
#include "models/common/staged_site.h"
#include "vene/models/esm.h"

namespace vene::models::esm {

/// Queries and keys [batch, heads, pos, d_head] turned by their positions.
class RotaryEmbeddingsImpl : public torch::nn::Module {
 public:
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& queries, const torch::Tensor& keys,
                                                   const Angles& angles);
};
TORCH_MODULE_IMPL(RotaryEmbeddings, Hooked<RotaryEmbeddingsImpl>);

class SelfAttentionImpl : public EncoderHeads {
 public:
  explicit SelfAttentionImpl(const EsmOptions& options)
      : EncoderHeads(options.hidden_size, options.num_attention_heads) {
    if (options.position_embedding_type == "rotary")
      rotary_embeddings = register_module("rotary_embeddings", RotaryEmbeddings());
  }
  /// The heads' results side by side, [batch, pos, hidden_size].
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  RotaryEmbeddings rotary_embeddings{nullptr};
};
TORCH_MODULE_IMPL(SelfAttention, Hooked<SelfAttentionImpl>);

/// dense(value) + residual: how a block's two halves end.
class ResidualImpl : public torch::nn::Module {
 public:
  ResidualImpl(std::int64_t in, std::int64_t out);
  torch::Tensor forward(const torch::Tensor& value, const torch::Tensor& residual);

  nn::Linear dense;
  HookPoint dropout;
};
TORCH_MODULE_IMPL(Residual, Hooked<ResidualImpl>);

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const EsmOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  SelfAttention self;
  Residual output;
  nn::LayerNorm norm;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class LayerImpl : public torch::nn::Module {
 public:
  explicit LayerImpl(const EsmOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  Attention attention;
  Intermediate intermediate;
  Residual output;
  nn::LayerNorm norm;
};
TORCH_MODULE_IMPL(Layer, Hooked<LayerImpl>);

class EmbeddingsImpl : public torch::nn::Module {
 public:
  explicit EmbeddingsImpl(const EsmOptions& options);
  /// Words [batch, pos, hidden_size] of token ids [batch, pos]; without ids they stand in for the result. `mask`
  /// [batch, pos] is true for real tokens, or undefined.
  torch::Tensor forward(const torch::Tensor& words, const torch::Tensor& ids, const torch::Tensor& mask);

  nn::Embedding word_embeddings, position_embeddings{nullptr};
  nn::LayerNorm norm{nullptr};

 private:
  torch::Tensor scaled(const torch::Tensor& words, const torch::Tensor& ids, const torch::Tensor& mask) const;
  torch::Tensor positions(const torch::Tensor& ids, const torch::Tensor& mask) const;

  std::int64_t pad_, mask_token_;
  bool token_dropout_;
};
TORCH_MODULE_IMPL(Embeddings, Hooked<EmbeddingsImpl>);

class EncoderImpl : public StagedSite {
 public:
  explicit EncoderImpl(const EsmOptions& options);
  std::vector<Layer> layers;
  nn::LayerNorm emb_layer_norm_after;
};
TORCH_MODULE(Encoder);

class BodyImpl : public StagedSite {
 public:
  explicit BodyImpl(const EsmOptions& options);
  Embeddings embeddings;
  Encoder encoder;
  torch::Tensor frequencies;  // of rotary positions, float32 whatever the model's type; undefined without them
  OnDevice frequencies_on;
};
TORCH_MODULE(Body);

class HeadImpl : public torch::nn::Module {
 public:
  explicit HeadImpl(const EsmOptions& options);
  /// [batch, pos, hidden_size] -> [batch, pos, vocab_size]; `embedding` is read by a tied head only.
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& embedding);

  nn::Linear dense;
  nn::LayerNorm norm;
  nn::OutputHead decoder;
  torch::Tensor bias;  ///< [vocab_size], added to what the decoder makes
};
TORCH_MODULE_IMPL(Head, Hooked<HeadImpl>);

}  // namespace vene::models::esm
