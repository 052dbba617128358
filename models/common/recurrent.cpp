// SPDX-License-Identifier: Apache-2.0
#include "vene/models/recurrent.h"

#include "models/common/linear.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models::nn {
namespace {

using torch::Tensor;
using States = std::vector<Tensor>;  // what a cell carries from step to step: h, or h and c

std::string suffix(std::size_t cell, bool bidirectional) {
  const std::size_t layer = bidirectional ? cell / 2 : cell;
  return "_l" + std::to_string(layer) + (bidirectional && cell % 2 == 1 ? "_reverse" : "");
}

std::size_t cell_count(const torch::nn::detail::RNNOptionsBase& options) {
  return static_cast<std::size_t>(options.num_layers()) * (options.bidirectional() ? 2 : 1);
}

// The initial states, split by cell: given as [cells, batch, hidden] or undefined for zeros.
std::vector<States> initial_states(const States& given, std::size_t cells, const Tensor& like, std::int64_t rows,
                                   std::int64_t width) {
  std::vector<States> initial(cells);
  for (const Tensor& state : given) {
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(cells), rows, width};
    if (state.defined() && state.sizes() != c10::IntArrayRef(shape)) {
      throw ModelError("hx: expected shape " + shape_text(shape) + " (layers times directions, batch, hidden), got " +
                       shape_text(state.sizes()));
    }
    for (std::size_t cell = 0; cell < cells; ++cell) {
      initial[cell].push_back(state.defined() ? state[static_cast<std::int64_t>(cell)]
                                              : torch::zeros({rows, width}, like.options().requires_grad(false)));
    }
  }
  return initial;
}

// Every layer and direction over all steps. `step(cell, input, states, weights)` gives the next states, whose first is
// the output. Returns the outputs and, stacked by cell, the last states.
template <class Step>
std::pair<Tensor, States> unroll(const torch::nn::detail::RNNOptionsBase& options, const std::vector<Tensor>& weights,
                                 bool training, const Tensor& given, States hx, const Step& step) {
  const bool batched = given.dim() == 3;
  if ((!batched && given.dim() != 2) || given.size(-1) != options.input_size() || given.size(0) == 0 ||
      given.size(1) == 0) {
    throw ModelError("input: expected " + std::string(options.batch_first() ? "[batch, pos, " : "[pos, batch, ") +
                     std::to_string(options.input_size()) + "] or [pos, " + std::to_string(options.input_size()) +
                     "], got " + shape_text(given.sizes()));
  }
  const std::int64_t time = batched && options.batch_first() ? 1 : 0;
  const Tensor input = batched ? given : given.unsqueeze(1);
  const std::size_t cells = cell_count(options), per_cell = options.bias() ? 4 : 2;
  if (!batched) {
    for (Tensor& state : hx) state = state.defined() ? state.unsqueeze(1) : state;
  }
  const std::vector<States> initial = initial_states(hx, cells, input, input.size(1 - time), options.hidden_size());
  std::vector<Tensor> inputs = input.unbind(time);  // one view a step: a slice each would cost a whole gradient each
  std::vector<States> finals(hx.size());
  const std::size_t directions = options.bidirectional() ? 2 : 1;
  for (std::size_t cell = 0; cell < cells; cell += directions) {
    std::vector<Tensor> outputs(inputs.size());
    for (std::size_t direction = 0; direction < directions; ++direction) {
      const std::size_t k = cell + direction;
      const auto first = weights.begin() + static_cast<std::ptrdiff_t>(k * per_cell);
      const CellWeights own{first[0], first[1], options.bias() ? first[2] : Tensor(),
                            options.bias() ? first[3] : Tensor()};
      States states = initial[k];
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const std::size_t t = direction == 0 ? i : inputs.size() - 1 - i;
        states = step(k, inputs[t], states, own);
        outputs[t] = direction == 0 ? states[0] : torch::cat({outputs[t], states[0]}, -1);
      }
      for (std::size_t s = 0; s < states.size(); ++s) finals[s].push_back(states[s]);
    }
    if (options.dropout() > 0 && training && cell + directions < cells) {
      outputs = torch::dropout(torch::stack(outputs), options.dropout(), true).unbind(0);
    }
    inputs = std::move(outputs);
  }
  Tensor output = torch::stack(inputs, time);
  States last;
  for (const States& states : finals) last.push_back(torch::stack(states));
  if (!batched) {
    output = output.squeeze(1);
    for (Tensor& state : last) state = state.squeeze(1);
  }
  return {output, last};
}

// A module of the same kind with parameters of its own.
template <class M>
std::shared_ptr<torch::nn::Module> cloned(const M& module, const std::optional<torch::Device>& device) {
  auto copy = std::make_shared<M>(module.options);
  const torch::NoGradGuard no_grad;
  auto parameters = copy->named_parameters();
  for (const auto& item : module.named_parameters()) {
    const Tensor& value = item.value();
    parameters[item.key()].set_data(device ? value.to(*device, /*non_blocking=*/false, /*copy=*/true) : value.clone());
    parameters[item.key()].set_requires_grad(value.requires_grad());
  }
  copy->train(module.is_training());
  return copy;
}

std::vector<NamedSite> cell_sites(const torch::nn::detail::RNNOptionsBase& options, const std::string& prefix,
                                  bool has_state) {
  std::vector<NamedSite> sites;
  for (std::size_t cell = 0; cell < cell_count(options); ++cell) {
    const bool reverse = options.bidirectional() && cell % 2 == 1;
    const auto layer = static_cast<std::int64_t>(options.bidirectional() ? cell / 2 : cell);
    const std::string path = prefix + "cell" + suffix(cell, options.bidirectional()), end = reverse ? "_reverse" : "";
    const std::int64_t into =
        layer == 0 ? options.input_size() : options.hidden_size() * (options.bidirectional() ? 2 : 1);
    const CallOrder order = reverse ? CallOrder::kPositionsBackward : CallOrder::kPositions;
    const std::vector<Axis> axes{Axis::kBatch, Axis::kFeature};
    sites.push_back({"cell_input" + end, layer, path + ".input", axes, into, order});
    sites.push_back({"cell_output" + end, layer, path + ".output", axes, options.hidden_size(), order});
    if (has_state)
      sites.push_back({"cell_state" + end, layer, path + ".state.output", axes, options.hidden_size(), order});
  }
  return sites;
}

}  // namespace

Tensor GRUStepImpl::forward(const Tensor& input, const Tensor& hidden, const CellWeights& weights) {
  return torch::gru_cell(input, hidden, weights.input, weights.hidden, weights.input_bias, weights.hidden_bias);
}

Tensor RNNStepImpl::forward(const Tensor& input, const Tensor& hidden, const CellWeights& weights) {
  return relu_ ? torch::rnn_relu_cell(input, hidden, weights.input, weights.hidden, weights.input_bias,
                                      weights.hidden_bias)
               : torch::rnn_tanh_cell(input, hidden, weights.input, weights.hidden, weights.input_bias,
                                      weights.hidden_bias);
}

LSTMStepImpl::LSTMStepImpl() {
  register_module("state", state);
}

std::tuple<Tensor, Tensor> LSTMStepImpl::forward(const Tensor& input, std::tuple<Tensor, Tensor> hidden,
                                                 const CellWeights& weights) {
  const auto& [h, c] = hidden;
  const Tensor gates =
      apply_linear(input, weights.input, weights.input_bias) + apply_linear(h, weights.hidden, weights.hidden_bias);
  const std::vector<Tensor> parts = gates.chunk(4, 1);  // [batch, hidden]: input, forget, candidate, output
  const Tensor next =
      state(torch::sigmoid(parts[1]) * c + torch::sigmoid(parts[0]) * torch::tanh(parts[2]));  // [batch, hidden]
  return {torch::sigmoid(parts[3]) * torch::tanh(next), next};
}

// --- GRU ------------------------------------------------------------------------------------------
UnrolledGRUImpl::UnrolledGRUImpl(const torch::nn::GRUOptions& options_)
    : UnrolledGRUImpl(torch::nn::GRUImpl(options_)) {}
UnrolledGRUImpl::UnrolledGRUImpl(const torch::nn::GRUImpl& trained) : torch::nn::GRUImpl(trained) {
  for (std::size_t cell = 0; cell < cell_count(options_base); ++cell) {
    cells_.push_back(register_module("cell" + suffix(cell, options_base.bidirectional()), GRUStep()));
  }
}
std::tuple<Tensor, Tensor> UnrolledGRUImpl::forward(const Tensor& input, Tensor hx) {
  auto [output, last] =
      unroll(options_base, all_weights(), is_training(), input, {std::move(hx)},
             [&](std::size_t cell, const Tensor& x, const States& states, const CellWeights& weights) -> States {
               return {cells_[cell](x, states[0], weights)};
             });
  return {output, last[0]};
}
std::shared_ptr<torch::nn::Module> UnrolledGRUImpl::clone(const std::optional<torch::Device>& device) const {
  return cloned(*this, device);
}
std::vector<NamedSite> UnrolledGRUImpl::named_sites(const std::string& prefix) const {
  return cell_sites(options_base, prefix, false);
}

// --- RNN ------------------------------------------------------------------------------------------
UnrolledRNNImpl::UnrolledRNNImpl(const torch::nn::RNNOptions& options_)
    : UnrolledRNNImpl(torch::nn::RNNImpl(options_)) {}
UnrolledRNNImpl::UnrolledRNNImpl(const torch::nn::RNNImpl& trained) : torch::nn::RNNImpl(trained) {
  const bool relu = std::holds_alternative<torch::enumtype::kReLU>(options.nonlinearity());
  for (std::size_t cell = 0; cell < cell_count(options_base); ++cell) {
    cells_.push_back(register_module("cell" + suffix(cell, options_base.bidirectional()), RNNStep(relu)));
  }
}
std::tuple<Tensor, Tensor> UnrolledRNNImpl::forward(const Tensor& input, Tensor hx) {
  auto [output, last] =
      unroll(options_base, all_weights(), is_training(), input, {std::move(hx)},
             [&](std::size_t cell, const Tensor& x, const States& states, const CellWeights& weights) -> States {
               return {cells_[cell](x, states[0], weights)};
             });
  return {output, last[0]};
}
std::shared_ptr<torch::nn::Module> UnrolledRNNImpl::clone(const std::optional<torch::Device>& device) const {
  return cloned(*this, device);
}
std::vector<NamedSite> UnrolledRNNImpl::named_sites(const std::string& prefix) const {
  return cell_sites(options_base, prefix, false);
}

// --- LSTM -----------------------------------------------------------------------------------------
UnrolledLSTMImpl::UnrolledLSTMImpl(const torch::nn::LSTMOptions& options_)
    : UnrolledLSTMImpl(torch::nn::LSTMImpl(options_)) {}
UnrolledLSTMImpl::UnrolledLSTMImpl(const torch::nn::LSTMImpl& trained) : torch::nn::LSTMImpl(trained) {
  if (options.proj_size() != 0)
    throw ModelError("an LSTM with proj_size cannot be unrolled here: expected proj_size 0, got " +
                     std::to_string(options.proj_size()));
  for (std::size_t cell = 0; cell < cell_count(options_base); ++cell) {
    cells_.push_back(register_module("cell" + suffix(cell, options_base.bidirectional()), LSTMStep()));
  }
}
std::tuple<Tensor, std::tuple<Tensor, Tensor>> UnrolledLSTMImpl::forward(const Tensor& input,
                                                                         std::optional<std::tuple<Tensor, Tensor>> hx) {
  const States given = hx ? States{std::get<0>(*hx), std::get<1>(*hx)} : States{Tensor(), Tensor()};
  auto [output, last] =
      unroll(options_base, all_weights(), is_training(), input, given,
             [&](std::size_t cell, const Tensor& x, const States& states, const CellWeights& weights) -> States {
               auto [h, c] = cells_[cell](x, std::tuple(states[0], states[1]), weights);
               return {h, c};
             });
  return {output, {last[0], last[1]}};
}
std::shared_ptr<torch::nn::Module> UnrolledLSTMImpl::clone(const std::optional<torch::Device>& device) const {
  return cloned(*this, device);
}
std::vector<NamedSite> UnrolledLSTMImpl::named_sites(const std::string& prefix) const {
  return cell_sites(options_base, prefix, true);
}

}  // namespace vene::models::nn
