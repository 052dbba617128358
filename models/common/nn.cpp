// SPDX-License-Identifier: Apache-2.0
#include "vene/models/nn.h"

#include <torch/nn/init.h>

#include <cmath>

#include "models/common/linear.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models::nn {
namespace {

thread_local bool unset_parameters = false;

// One value, seen under a shape: an unset parameter takes no memory, even for sizes that there is none for.
torch::Tensor unset_parameter(at::IntArrayRef shape) {
  return torch::zeros({1}).expand(shape).variable_data();
}

torch::Tensor new_parameter(at::IntArrayRef shape) {
  if (unset_parameters) return unset_parameter(shape);
  torch::NoGradGuard no_grad;
  return torch::empty(shape).normal_(0.0, 0.02);
}

struct NamedActivation {
  const char* name;
  torch::Tensor (*function)(const torch::Tensor&);
};

torch::Tensor gelu(const torch::Tensor& x) {
  return torch::gelu(x);
}
// Hugging Face's gelu_new and gelu_fast spell out the tanh form that this kernel computes in one pass.
torch::Tensor gelu_tanh(const torch::Tensor& x) {
  return torch::gelu(x, "tanh");
}
torch::Tensor quick_gelu(const torch::Tensor& x) {
  return x * torch::sigmoid(1.702 * x);
}
torch::Tensor relu(const torch::Tensor& x) {
  return torch::relu(x);
}
torch::Tensor relu_squared(const torch::Tensor& x) {
  return torch::relu(x).square();
}
torch::Tensor silu(const torch::Tensor& x) {
  return torch::silu(x);
}
torch::Tensor tanh(const torch::Tensor& x) {
  return torch::tanh(x);
}
torch::Tensor sigmoid(const torch::Tensor& x) {
  return torch::sigmoid(x);
}

constexpr NamedActivation kActivations[] = {
    {"gelu", gelu},
    {"gelu_python", gelu},
    {"gelu_new", gelu_tanh},
    {"gelu_fast", gelu_tanh},
    {"gelu_pytorch_tanh", gelu_tanh},
    {"quick_gelu", quick_gelu},
    {"relu", relu},
    {"relu2", relu_squared},
    {"silu", silu},
    {"swish", silu},
    {"tanh", tanh},
    {"sigmoid", sigmoid},
};

}  // namespace

UnsetParameters::UnsetParameters() : outer_(unset_parameters) {
  unset_parameters = true;
}
UnsetParameters::~UnsetParameters() {
  unset_parameters = outer_;
}
bool UnsetParameters::active() noexcept {
  return unset_parameters;
}

torch::nn::EmbeddingOptions embedding_options(std::int64_t rows, std::int64_t width) {
  return torch::nn::EmbeddingOptions(rows, width)._weight(new_parameter({rows, width}));
}

LinearImpl::LinearImpl(const torch::nn::LinearOptions& options_) : options(options_) {
  LinearImpl::reset();
}

void LinearImpl::reset() {
  const std::int64_t in = options.in_features(), out = options.out_features();
  const auto make = [](at::IntArrayRef shape) {
    return unset_parameters ? unset_parameter(shape) : torch::empty(shape);
  };
  weight = register_parameter("weight", make({out, in}));
  bias = options.bias() ? register_parameter("bias", make({out}))
                        : register_parameter("bias", {}, /*requires_grad=*/false);
  if (unset_parameters) return;
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  if (bias.defined()) torch::nn::init::uniform_(bias, -bound, bound);
}

torch::Tensor LinearImpl::forward(const torch::Tensor& input) {
  return apply_linear(input, weight, bias);
}

Conv1DImpl::Conv1DImpl(std::int64_t in, std::int64_t out) : in_(in), out_(out) {
  Conv1DImpl::reset();
}

void Conv1DImpl::reset() {
  weight = register_parameter("weight", new_parameter({in_, out_}));
  bias = register_parameter("bias", torch::zeros(out_));
}

torch::Tensor Conv1DImpl::forward(const torch::Tensor& input) {
  return apply_linear(input, weight.t(), bias);
}

ActivationImpl::ActivationImpl(std::string name_) : name(std::move(name_)) {
  for (const NamedActivation& known : kActivations) {
    if (name == known.name) {
      function_ = known.function;
      return;
    }
  }
  throw ModelError("activation '" + name + "' is not built in" + name_hint(name, known_names()));
}

torch::Tensor ActivationImpl::forward(const torch::Tensor& input) {
  return function_(input);
}

std::vector<std::string> ActivationImpl::known_names() {
  std::vector<std::string> names;
  for (const NamedActivation& known : kActivations) names.emplace_back(known.name);
  return names;
}

OutputHeadImpl::OutputHeadImpl(std::int64_t width, std::int64_t vocabulary, bool tied, bool with_bias)
    : width_(width), vocabulary_(vocabulary), tied_(tied), with_bias_(with_bias) {
  OutputHeadImpl::reset();
}

void OutputHeadImpl::reset() {
  if (!tied_) weight = register_parameter("weight", new_parameter({vocabulary_, width_}));
  if (with_bias_) bias = register_parameter("bias", torch::zeros({vocabulary_}));
}

torch::Tensor OutputHeadImpl::forward(const torch::Tensor& hidden, const torch::Tensor& embedding) {
  return apply_linear(hidden, tied_ ? embedding : weight, bias);
}

torch::Tensor OutputHeadImpl::of_tokens(const torch::Tensor& hidden, const torch::Tensor& embedding,
                                        const torch::Tensor& tokens) const {
  const torch::Tensor& table = tied_ ? embedding : weight;
  const torch::Tensor index = tokens.to(table.device());
  return apply_linear(hidden, table.index_select(0, index), bias.defined() ? bias.index_select(0, index) : bias);
}

}  // namespace vene::models::nn
