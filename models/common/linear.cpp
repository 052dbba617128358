// SPDX-License-Identifier: Apache-2.0
#include "models/common/linear.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>

namespace vene::models {
namespace {

using torch::Tensor;
using OneDNN = Tensor(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                      std::string_view attribute, c10::List<std::optional<at::Scalar>> scalars,
                      std::optional<std::string_view> algorithm);

// LibTorch's own operator over oneDNN; nothing in a build without it.
const std::optional<c10::TypedOperatorHandle<OneDNN>>& one_dnn() {
  static const std::optional<c10::TypedOperatorHandle<OneDNN>> handle =
      []() -> std::optional<c10::TypedOperatorHandle<OneDNN>> {
    if (!at::hasMKLDNN()) return std::nullopt;
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found) return std::nullopt;
    return found->typed<OneDNN>();
  }();
  return handle;
}

bool large_on_cpu(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  // Below both, a product takes less time than oneDNN's call (about 15 us): by few rows the weight is read once, by
  // many it is computed with.
  constexpr std::int64_t kWorthReading = 1 << 17, kWorthComputing = 1 << 21;
  if (input.numel() == 0 || !input.is_cpu() || !weight.is_cpu()) return false;
  if (weight.numel() < kWorthReading && weight.numel() * (input.numel() / input.size(-1)) < kWorthComputing)
    return false;
  if (input.scalar_type() != torch::kFloat32 || weight.scalar_type() != torch::kFloat32 ||
      (bias.defined() && bias.scalar_type() != torch::kFloat32))
    return false;
  if (weight.stride(-1) != 1 && input.numel() == weight.size(-1))
    return false;  // one row by a weight [in, out]: MKL reads it as fast as memory gives it
  return input.size(-1) == weight.size(-1) && at::globalContext().userEnabledMkldnn() &&
         !at::autocast::is_autocast_enabled(at::kCPU) && one_dnn();
}

Tensor call_one_dnn(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  return one_dnn()->call(input, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

// oneDNN's operator knows no gradients: these are they, made of the same products.
class Linear : public torch::autograd::Function<Linear> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    context->save_for_backward({weight.requires_grad() ? input : Tensor(), weight});
    context->saved_data["biased"] = bias.has_value();
    return call_one_dnn(input, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1], &gradient = gradients[0];
    const auto rows = [](const Tensor& value) { return value.reshape({-1, value.size(-1)}); };
    torch::autograd::variable_list results(3);
    if (context->needs_input_grad(0)) results[0] = apply_linear(gradient, weight.t(), {});
    if (context->needs_input_grad(1)) results[1] = torch::mm(rows(gradient).t(), rows(input));
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) results[2] = rows(gradient).sum(0);
    return results;
  }
};

}  // namespace

Tensor apply_linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  if (!large_on_cpu(input, weight, bias)) return torch::linear(input, weight, bias);
  const std::optional<Tensor> given = bias.defined() ? std::optional<Tensor>(bias) : std::nullopt;
  const bool differentiated = torch::GradMode::is_enabled() &&
                              (input.requires_grad() || weight.requires_grad() || (given && given->requires_grad()));
  return differentiated ? Linear::apply(input, weight, given) : call_one_dnn(input, weight, given);
}

}  // namespace vene::models
