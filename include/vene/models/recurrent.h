// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/modules/rnn.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"
#include "vene/models/adapt.h"

/// torch::nn::GRU, LSTM and RNN with each time step a call of a hooked cell. Weights, their names ("weight_ih_l0",
/// "bias_hh_l1_reverse") and results are the stock modules'; a trained stock module can be handed over, its state dict
/// loaded. A layer's cells are the children "cell_l0", "cell_l0_reverse" and so on: sites "cell_l0.input" [batch,
/// input], "cell_l0.output" [batch, hidden], and of an LSTM "cell_l0.state.output" [batch, hidden]. A backward
/// direction reads from the end: its step 0 is the last position.
namespace vene::models::nn {

/// What one direction of one layer multiplies by; biases are undefined where the module has none.
struct CellWeights {
  torch::Tensor input{}, hidden{}, input_bias{}, hidden_bias{};
};

class VENE_API GRUStepImpl : public torch::nn::Module {
 public:
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& hidden, const CellWeights& weights);
  bool is_serializable() const override { return false; }  // it has no weights, and a stock archive no entry for it
};
TORCH_MODULE_IMPL(GRUStep, Hooked<GRUStepImpl>);

class VENE_API RNNStepImpl : public torch::nn::Module {
 public:
  explicit RNNStepImpl(bool relu) : relu_(relu) {}
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& hidden, const CellWeights& weights);
  bool is_serializable() const override { return false; }

 private:
  bool relu_;
};
TORCH_MODULE_IMPL(RNNStep, Hooked<RNNStepImpl>);

class VENE_API LSTMStepImpl : public torch::nn::Module {
 public:
  LSTMStepImpl();
  /// (hidden, state) -> (hidden, state); the point `state` sees the new cell state before the output gate reads it.
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input,
                                                   std::tuple<torch::Tensor, torch::Tensor> hidden,
                                                   const CellWeights& weights);
  bool is_serializable() const override { return false; }

  HookPoint state;
};
TORCH_MODULE_IMPL(LSTMStep, Hooked<LSTMStepImpl>);

class VENE_API UnrolledGRUImpl : public torch::nn::GRUImpl {
 public:
  UnrolledGRUImpl(std::int64_t input_size, std::int64_t hidden_size)
      : UnrolledGRUImpl(torch::nn::GRUOptions(input_size, hidden_size)) {}
  explicit UnrolledGRUImpl(const torch::nn::GRUOptions& options);
  /// Shares the parameters of `trained`.
  explicit UnrolledGRUImpl(const torch::nn::GRUImpl& trained);
  /// As torch::nn::GRU: input [batch, pos, input] or [pos, batch, input], or [pos, input]; hx [layers * directions,
  /// batch, hidden], undefined for zeros -> the last layer's outputs, and the last states.
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input, torch::Tensor hx);
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;
  /// Component names for `adapt`: "cell_input" and "cell_output" of each layer, "..._reverse" of the backward
  /// direction.
  std::vector<NamedSite> named_sites(const std::string& prefix = "") const;

 private:
  std::vector<GRUStep> cells_;  // layer by layer, forward before backward
};
TORCH_MODULE_IMPL(UnrolledGRU, Hooked<UnrolledGRUImpl>);

class VENE_API UnrolledRNNImpl : public torch::nn::RNNImpl {
 public:
  UnrolledRNNImpl(std::int64_t input_size, std::int64_t hidden_size)
      : UnrolledRNNImpl(torch::nn::RNNOptions(input_size, hidden_size)) {}
  explicit UnrolledRNNImpl(const torch::nn::RNNOptions& options);
  explicit UnrolledRNNImpl(const torch::nn::RNNImpl& trained);
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input, torch::Tensor hx);
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;
  std::vector<NamedSite> named_sites(const std::string& prefix = "") const;

 private:
  std::vector<RNNStep> cells_;
};
TORCH_MODULE_IMPL(UnrolledRNN, Hooked<UnrolledRNNImpl>);

class VENE_API UnrolledLSTMImpl : public torch::nn::LSTMImpl {
 public:
  UnrolledLSTMImpl(std::int64_t input_size, std::int64_t hidden_size)
      : UnrolledLSTMImpl(torch::nn::LSTMOptions(input_size, hidden_size)) {}
  /// ModelError for options with proj_size.
  explicit UnrolledLSTMImpl(const torch::nn::LSTMOptions& options);
  explicit UnrolledLSTMImpl(const torch::nn::LSTMImpl& trained);
  std::tuple<torch::Tensor, std::tuple<torch::Tensor, torch::Tensor>> forward(
      const torch::Tensor& input, std::optional<std::tuple<torch::Tensor, torch::Tensor>> hx);
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;
  /// Those of a GRU, and "cell_state".
  std::vector<NamedSite> named_sites(const std::string& prefix = "") const;

 private:
  std::vector<LSTMStep> cells_;
};
TORCH_MODULE_IMPL(UnrolledLSTM, Hooked<UnrolledLSTMImpl>);

}  // namespace vene::models::nn
