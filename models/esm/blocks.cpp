// SPDX-License-Identifier: Apache-2.0
#include "models/esm/blocks.h"

namespace vene::models::esm {
namespace {

torch::nn::LayerNormOptions norm_options(const EsmOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_eps);
}

// In float32: half types would round each product.
torch::Tensor turned(const torch::Tensor& value, const Angles& angles) {
  return rotate(value.to(torch::kFloat32), angles).to(value.scalar_type());
}

}  // namespace

std::tuple<torch::Tensor, torch::Tensor> RotaryEmbeddingsImpl::forward(const torch::Tensor& queries,
                                                                       const torch::Tensor& keys,
                                                                       const Angles& angles) {
  return {turned(queries, angles), turned(keys, angles)};
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  torch::Tensor queries = split_heads(query(hidden), heads_) * scale_, keys = split_heads(key(hidden), heads_);
  if (rotary_embeddings) std::tie(queries, keys) = rotary_embeddings(queries, keys, context.angles);
  const torch::Tensor values = split_heads(value(hidden), heads_);
  return merge_heads(attend(queries, keys, values, 1.0, context.mask, scores, pattern, 0, /*causal=*/false));
}

ResidualImpl::ResidualImpl(std::int64_t in, std::int64_t out) : dense(in, out) {
  register_module("dense", dense);
  register_module("dropout", dropout);
}

torch::Tensor ResidualImpl::forward(const torch::Tensor& value, const torch::Tensor& residual) {
  return dropout(dense(value)) + residual;
}

AttentionImpl::AttentionImpl(const EsmOptions& options)
    : self(options), output(options.hidden_size, options.hidden_size), norm(norm_options(options)) {
  register_module("self", self);
  register_module("output", output);
  register_module("LayerNorm", norm);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  return output(self(norm(hidden), context), hidden);
}

LayerImpl::LayerImpl(const EsmOptions& options)
    : attention(options),
      intermediate(options.hidden_size, options.intermediate_size, "gelu"),
      output(options.intermediate_size, options.hidden_size),
      norm(norm_options(options)) {
  register_module("attention", attention);
  register_module("intermediate", intermediate);
  register_module("output", output);
  register_module("LayerNorm", norm);
}

torch::Tensor LayerImpl::forward(const torch::Tensor& hidden, const AttentionContext& context) {
  const torch::Tensor middle = attention(hidden, context);
  return output(intermediate(norm(middle)), middle);
}

EmbeddingsImpl::EmbeddingsImpl(const EsmOptions& options)
    : word_embeddings(nn::embedding_options(options.vocab_size, options.hidden_size)),
      pad_(options.pad_token_id),
      mask_token_(options.mask_token_id),
      token_dropout_(options.token_dropout) {
  register_module("word_embeddings", word_embeddings);
  if (options.position_embedding_type == "absolute") {
    position_embeddings =
        register_module("position_embeddings",
                        nn::Embedding(nn::embedding_options(options.max_position_embeddings, options.hidden_size)));
  }
  if (options.emb_layer_norm_before) norm = register_module("layer_norm", nn::LayerNorm(norm_options(options)));
}

torch::Tensor EmbeddingsImpl::forward(const torch::Tensor& words, const torch::Tensor& ids, const torch::Tensor& mask) {
  if (!ids.defined()) return words;
  torch::Tensor value = token_dropout_ ? scaled(words, ids, mask) : words;
  if (position_embeddings) value = value + position_embeddings(positions(ids, mask));
  if (norm) value = norm(value);
  return mask.defined() ? value * mask.unsqueeze(-1).to(value.scalar_type()) : value;
}

// As dropout of inputs would: mask tokens are zeros, and the rest is scaled to the share of tokens that were seen in
// training.
torch::Tensor EmbeddingsImpl::scaled(const torch::Tensor& words, const torch::Tensor& ids,
                                     const torch::Tensor& mask) const {
  constexpr double kHiddenInTraining = 0.15 * 0.8;
  torch::Tensor hidden = ids.eq(mask_token_);
  const torch::Tensor kept = words.masked_fill(hidden.unsqueeze(-1), 0.0);
  if (mask.defined()) hidden = hidden & mask;
  const torch::Tensor tokens = (mask.defined() ? mask : torch::ones_like(hidden)).sum(-1).clamp_min(1);
  const torch::Tensor share = hidden.sum(-1).to(torch::kFloat32) / tokens;  // [batch]
  return (kept * (1 - kHiddenInTraining) / (1 - share).view({-1, 1, 1})).to(words.scalar_type());
}

// Tokens count on from the padding token's id, which tokens of that id have themselves.
torch::Tensor EmbeddingsImpl::positions(const torch::Tensor& ids, const torch::Tensor& mask) const {
  torch::Tensor real = ids.ne(pad_);
  if (mask.defined()) real = real & mask;
  return real.cumsum(1) * real + pad_;
}

EncoderImpl::EncoderImpl(const EsmOptions& options) : emb_layer_norm_after(norm_options(options)) {
  torch::nn::ModuleList list;
  for (std::int64_t layer = 0; layer < options.num_hidden_layers; ++layer) {
    layers.emplace_back(options);
    list->push_back(layers.back());
  }
  register_module("layer", list);
  register_module("emb_layer_norm_after", emb_layer_norm_after);
}

BodyImpl::BodyImpl(const EsmOptions& options) : embeddings(options), encoder(options) {
  register_module("embeddings", embeddings);
  register_module("encoder", encoder);
  if (options.position_embedding_type == "rotary") {
    frequencies = rotary_frequencies({.theta = options.rope_theta, .stretch = std::nullopt},
                                     options.hidden_size / options.num_attention_heads);
    frequencies_on = OnDevice(frequencies);
  }
}

HeadImpl::HeadImpl(const EsmOptions& options)
    : dense(options.hidden_size, options.hidden_size),
      norm(norm_options(options)),
      decoder(options.hidden_size, options.vocab_size, options.tie_word_embeddings),
      bias(register_parameter("bias", torch::zeros({options.vocab_size}))) {
  register_module("dense", dense);
  register_module("layer_norm", norm);
  register_module("decoder", decoder);
}

torch::Tensor HeadImpl::forward(const torch::Tensor& hidden, const torch::Tensor& embedding) {
  return decoder(norm(torch::gelu(dense(hidden))), embedding) + bias;
}

}  // namespace vene::models::esm
