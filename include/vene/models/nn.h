// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"

/// The parts that ports are made of. Every one is a site: its input and output can be read and replaced.
namespace vene::models::nn {

/// While it lives, the modules of this header that this thread builds leave their large parameters unset, of the right
/// shape but without memory: for a loader, which gives each its data by `set_data`.
class VENE_API UnsetParameters {
 public:
  UnsetParameters();
  ~UnsetParameters();
  UnsetParameters(const UnsetParameters&) = delete;
  UnsetParameters& operator=(const UnsetParameters&) = delete;
  static bool active() noexcept;

 private:
  bool outer_;
};

/// A linear layer as LibTorch's own, weight [out, in], but for UnsetParameters.
class VENE_API LinearImpl : public torch::nn::Cloneable<LinearImpl> {
 public:
  LinearImpl(std::int64_t in, std::int64_t out) : LinearImpl(torch::nn::LinearOptions(in, out)) {}
  explicit LinearImpl(const torch::nn::LinearOptions& options_);
  void reset() override;
  /// [..., in] -> [..., out]
  torch::Tensor forward(const torch::Tensor& input);

  torch::nn::LinearOptions options;
  torch::Tensor weight, bias;
};
TORCH_MODULE_IMPL(Linear, Hooked<LinearImpl>);
TORCH_MODULE_IMPL(LayerNorm, Hooked<torch::nn::LayerNormImpl>);
TORCH_MODULE_IMPL(Embedding, Hooked<torch::nn::EmbeddingImpl>);

/// Options of an embedding of `rows` vectors, its table unset under UnsetParameters and else drawn from N(0, 0.02).
VENE_API torch::nn::EmbeddingOptions embedding_options(std::int64_t rows, std::int64_t width);

/// GPT-2's linear layer, whose weight [in, out] is stored the other way round.
class VENE_API Conv1DImpl : public torch::nn::Cloneable<Conv1DImpl> {
 public:
  Conv1DImpl(std::int64_t in, std::int64_t out);
  void reset() override;
  /// [..., in] -> [..., out]
  torch::Tensor forward(const torch::Tensor& input);

  torch::Tensor weight, bias;

 private:
  std::int64_t in_, out_;
};
TORCH_MODULE_IMPL(Conv1D, Hooked<Conv1DImpl>);

/// An activation by the name that Hugging Face's configs use. ModelError, with the nearest names, for another.
class VENE_API ActivationImpl : public torch::nn::Cloneable<ActivationImpl> {
 public:
  explicit ActivationImpl(std::string name);
  void reset() override {}
  torch::Tensor forward(const torch::Tensor& input);
  static std::vector<std::string> known_names();

  std::string name;

 private:
  torch::Tensor (*function_)(const torch::Tensor&);
};
TORCH_MODULE_IMPL(Activation, Hooked<ActivationImpl>);

/// The language-model head, logits = hidden x weight^T, plus a bias where there is one. A tied head has no parameter of
/// its own and takes the embedding table in its call, so that the table is one parameter under one name
/// ("lm_head.weight" is not in named_parameters()).
class VENE_API OutputHeadImpl : public torch::nn::Cloneable<OutputHeadImpl> {
 public:
  OutputHeadImpl(std::int64_t width, std::int64_t vocabulary, bool tied, bool with_bias = false);
  void reset() override;
  /// hidden [..., width], embedding [vocabulary, width] (read by a tied head only) -> [..., vocabulary]
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& embedding);
  /// Logits [..., n] of `tokens` ([n], int64) alone, which hooks do not see.
  torch::Tensor of_tokens(const torch::Tensor& hidden, const torch::Tensor& embedding,
                          const torch::Tensor& tokens) const;
  bool tied() const noexcept { return tied_; }

  torch::Tensor weight;  ///< [vocabulary, width]; undefined in a tied head
  torch::Tensor bias;    ///< [vocabulary]; undefined where there is none

 private:
  std::int64_t width_, vocabulary_;
  bool tied_, with_bias_;
};
TORCH_MODULE_IMPL(OutputHead, Hooked<OutputHeadImpl>);

}  // namespace vene::models::nn
