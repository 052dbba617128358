// SPDX-License-Identifier: Apache-2.0
// Modules with the signatures that hooks must pass through, and what the tests of the layer share.
#pragma once
#include <gmock/gmock.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "vene/base/error.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/hook_scope.h"
#include "vene/hooks/hooked.h"
#include "vene/hooks/site.h"

namespace vene_test {

using torch::Tensor;
using vene::Hook;
using vene::HookContext;
using vene::Hooked;
using vene::HookScope;
using vene::HookTable;
using vene::Phase;

TORCH_MODULE_IMPL(Linear, Hooked<torch::nn::LinearImpl>);

/// A table with one hook.
inline HookTable table_of(vene::SiteId site, Phase phase, Hook hook, std::string label = {}) {
  HookTable table;
  table.on(site, phase, std::move(hook), std::move(label));
  return table;
}
inline Hook set_to(double value) {
  return [value](const HookContext& context) { context.value() = torch::full_like(context.value(), value); };
}
inline Hook count_in(int& count) {
  return [&count](const HookContext&) { ++count; };
}

/// x -> (x + 1, x + 2)
struct PairOutImpl : torch::nn::Module {
  std::pair<Tensor, Tensor> forward(const Tensor& x) { return {x + 1, x + 2}; }
};
/// x, optional y -> (x + y, (x, [x, 2x]))
struct NestedImpl : torch::nn::Module {
  std::tuple<Tensor, std::tuple<Tensor, std::vector<Tensor>>> forward(const Tensor& x, std::optional<Tensor> y) {
    return {y ? x + *y : x, {x, {x, 2 * x}}};
  }
};
/// Sum of a list, times the second of a pair; the flag and the number are no tensors.
struct ListInImpl : torch::nn::Module {
  Tensor forward(const std::vector<Tensor>& list, std::pair<Tensor, Tensor> pair, bool negate, std::int64_t times) {
    Tensor sum = pair.first;
    for (const Tensor& item : list) sum = sum + item;
    return (negate ? -1 : 1) * times * sum * pair.second;
  }
};
/// Writes into its argument, as some modules do.
struct InPlaceImpl : torch::nn::Module {
  Tensor forward(Tensor x) { return x.add_(1); }
};
struct ConstForwardImpl : torch::nn::Module {
  Tensor forward(const Tensor& x) const { return 2 * x; }
};
/// A result struct of a user's own, found through argument-dependent lookup.
struct Scored {
  Tensor value;
  double score = 0;
};
inline void collect_tensors(vene::detail::TensorRefs& refs, Scored& scored) {
  refs.push_back(&scored.value);
}
struct ScoredImpl : torch::nn::Module {
  Scored forward(const Tensor& x) { return {x + 1, 0.5}; }
};
struct NoTensorImpl : torch::nn::Module {
  double forward(const Tensor& x) { return x.sum().item<double>(); }
};

/// Two linear layers with a point between: y = out(point(in(x))).
struct TwoLayersImpl : torch::nn::Cloneable<TwoLayersImpl> {
  TwoLayersImpl() { reset(); }
  void reset() override {
    into = register_module("into", Linear(torch::nn::LinearOptions(3, 4)));
    middle = register_module("middle", vene::HookPoint());
    out = register_module("out", Linear(torch::nn::LinearOptions(4, 2)));
    steps = register_buffer("steps", torch::ones(4));
  }
  Tensor forward(const Tensor& x) { return out(middle(torch::tanh(into(x))) * steps); }
  Linear into{nullptr}, out{nullptr};
  vene::HookPoint middle{nullptr};
  Tensor steps;
};
TORCH_MODULE(TwoLayers);

}  // namespace vene_test
