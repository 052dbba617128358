// SPDX-License-Identifier: Apache-2.0
// What BERT is made of, by the names of its checkpoints.
#pragma once
#include <torch/nn/modules/container/modulelist.h>

#include <vector>

#include "models/common/encoder.h"
#include "models/common/staged_site.h"
#include "vene/models/bert.h"

namespace vene::models::bert {

class SelfAttentionImpl : public EncoderHeads {
 public:
  explicit SelfAttentionImpl(const BertOptions& options)
      : EncoderHeads(options.hidden_size, options.num_attention_heads) {}
  /// The heads' results side by side, [batch, pos, hidden_size].
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);
};
TORCH_MODULE_IMPL(SelfAttention, Hooked<SelfAttentionImpl>);

/// norm(dense(value) + residual): how a block's two halves end.
class ResidualImpl : public torch::nn::Module {
 public:
  ResidualImpl(std::int64_t in, const BertOptions& options);
  torch::Tensor forward(const torch::Tensor& value, const torch::Tensor& residual);

  nn::Linear dense;
  HookPoint dropout;
  nn::LayerNorm norm;
};
TORCH_MODULE_IMPL(Residual, Hooked<ResidualImpl>);

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const BertOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  SelfAttention self;
  Residual output;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class LayerImpl : public torch::nn::Module {
 public:
  explicit LayerImpl(const BertOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context);

  Attention attention;
  Intermediate intermediate;
  Residual output;
};
TORCH_MODULE_IMPL(Layer, Hooked<LayerImpl>);

class EmbeddingsImpl : public torch::nn::Module {
 public:
  explicit EmbeddingsImpl(const BertOptions& options);
  /// Words [batch, pos, hidden_size], types and positions [batch, pos].
  torch::Tensor forward(const torch::Tensor& words, const torch::Tensor& types, const torch::Tensor& positions);

  nn::Embedding word_embeddings, position_embeddings, token_type_embeddings;
  nn::LayerNorm norm;
  HookPoint dropout;
};
TORCH_MODULE_IMPL(Embeddings, Hooked<EmbeddingsImpl>);

class EncoderImpl : public StagedSite {
 public:
  explicit EncoderImpl(const BertOptions& options);
  std::vector<Layer> layers;
};
TORCH_MODULE(Encoder);

class BodyImpl : public StagedSite {
 public:
  explicit BodyImpl(const BertOptions& options);
  Embeddings embeddings;
  Encoder encoder;
};
TORCH_MODULE(Body);

class TransformImpl : public torch::nn::Module {
 public:
  explicit TransformImpl(const BertOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden);

  nn::Linear dense;
  nn::Activation activation;
  nn::LayerNorm norm;
};
TORCH_MODULE_IMPL(Transform, Hooked<TransformImpl>);

class PredictionsImpl : public torch::nn::Module {
 public:
  explicit PredictionsImpl(const BertOptions& options);
  /// [batch, pos, hidden_size] -> [batch, pos, vocab_size]; `embedding` is read by a tied head only.
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& embedding);

  Transform transform;
  nn::OutputHead decoder;
};
TORCH_MODULE_IMPL(Predictions, Hooked<PredictionsImpl>);

class HeadImpl : public torch::nn::Module {
 public:
  explicit HeadImpl(const BertOptions& options);
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& embedding);
  Predictions predictions;
};
TORCH_MODULE_IMPL(Head, Hooked<HeadImpl>);

}  // namespace vene::models::bert
