// SPDX-License-Identifier: Apache-2.0
#include "models/bert/blocks.h"

#include "models/common/checks.h"

namespace vene::models::bert {
namespace {

torch::nn::LayerNormOptions norm_options(const BertOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_eps);
}

}  // namespace

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  const torch::Tensor queries = split_heads(query(hidden), heads_), keys = split_heads(key(hidden), heads_),
                      values = split_heads(value(hidden), heads_);
  return merge_heads(attend(queries, keys, values, scale_, context.mask, scores, pattern, 0, /*causal=*/false));
}

ResidualImpl::ResidualImpl(std::int64_t in, const BertOptions& options)
    : dense(in, options.hidden_size), norm(norm_options(options)) {
  register_module("dense", dense);
  register_module("dropout", dropout);
  register_module("LayerNorm", norm);
}

torch::Tensor ResidualImpl::forward(const torch::Tensor& value, const torch::Tensor& residual) {
  return norm(dropout(dense(value)) + residual);
}

AttentionImpl::AttentionImpl(const BertOptions& options) : self(options), output(options.hidden_size, options) {
  register_module("self", self);
  register_module("output", output);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  return output(self(hidden, context), hidden);
}

LayerImpl::LayerImpl(const BertOptions& options)
    : attention(options),
      intermediate(options.hidden_size, options.intermediate_size, options.hidden_act),
      output(options.intermediate_size, options) {
  register_module("attention", attention);
  register_module("intermediate", intermediate);
  register_module("output", output);
}

torch::Tensor LayerImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  const torch::Tensor middle = attention(hidden, context);
  return output(intermediate(middle), middle);
}

EmbeddingsImpl::EmbeddingsImpl(const BertOptions& options)
    : word_embeddings(nn::embedding_options(options.vocab_size, options.hidden_size)),
      position_embeddings(nn::embedding_options(options.max_position_embeddings, options.hidden_size)),
      token_type_embeddings(nn::embedding_options(options.type_vocab_size, options.hidden_size)),
      norm(norm_options(options)) {
  register_module("word_embeddings", word_embeddings);
  register_module("position_embeddings", position_embeddings);
  register_module("token_type_embeddings", token_type_embeddings);
  register_module("LayerNorm", norm);
  register_module("dropout", dropout);
}

torch::Tensor EmbeddingsImpl::forward(const torch::Tensor& words, const torch::Tensor& types,
                                      const torch::Tensor& positions) {
  const torch::Tensor typed = embedded_tokens(types, token_type_embeddings->weight.size(0), token_type_embeddings);
  return dropout(norm(words + typed + position_embeddings(positions)));
}

EncoderImpl::EncoderImpl(const BertOptions& options) {
  torch::nn::ModuleList list;
  for (std::int64_t layer = 0; layer < options.num_hidden_layers; ++layer) {
    layers.emplace_back(options);
    list->push_back(layers.back());
  }
  register_module("layer", list);
}

BodyImpl::BodyImpl(const BertOptions& options) : embeddings(options), encoder(options) {
  register_module("embeddings", embeddings);
  register_module("encoder", encoder);
}

TransformImpl::TransformImpl(const BertOptions& options)
    : dense(options.hidden_size, options.hidden_size), activation(options.hidden_act), norm(norm_options(options)) {
  register_module("dense", dense);
  register_module("transform_act_fn", activation);
  register_module("LayerNorm", norm);
}

torch::Tensor TransformImpl::forward(const torch::Tensor& hidden) {
  return norm(activation(dense(hidden)));
}

PredictionsImpl::PredictionsImpl(const BertOptions& options)
    : transform(options),
      decoder(options.hidden_size, options.vocab_size, options.tie_word_embeddings, /*with_bias=*/true) {
  register_module("transform", transform);
  register_module("decoder", decoder);
}

torch::Tensor PredictionsImpl::forward(const torch::Tensor& hidden, const torch::Tensor& embedding) {
  return decoder(transform(hidden), embedding);
}

HeadImpl::HeadImpl(const BertOptions& options) : predictions(options) {
  register_module("predictions", predictions);
}

torch::Tensor HeadImpl::forward(const torch::Tensor& hidden, const torch::Tensor& embedding) {
  return predictions(hidden, embedding);
}

}  // namespace vene::models::bert
