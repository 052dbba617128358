// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "vene/base/error.h"
#include "vene/hooks/tensor_refs.h"
#include "vene/models/model.h"

namespace vene::models {

/// A component name for a place in a user's own module.
struct NamedSite {
  std::string component{};  ///< "block_output"
  std::int64_t layer = -1;
  std::string path{};                     ///< module path and ".input" or ".output", or "output" for the module itself
  std::vector<Axis> axes{};               ///< of the value there; empty: guessed from its rank
  std::int64_t width = 0;                 ///< of the last axis; 0: not known before a run
  CallOrder calls = CallOrder::kUnknown;  ///< of a place that is called many times: what its calls run over
};

struct AdaptOptions {
  std::string architecture = "custom";
  std::vector<NamedSite> sites{};  ///< beyond the paths of every Hooked and HookPoint, which are sites anyway
};

/// A Model out of any module and a function that runs it.
VENE_API std::shared_ptr<Model> adapt(std::shared_ptr<torch::nn::Module> module,
                                      std::function<Output(const Batch&)> forward, AdaptOptions options = {});

namespace detail {

// The batch's tensors in order: the first is input_ids or inputs_embeds.
inline const torch::Tensor& batch_tensor(const Batch& batch, std::size_t index) {
  if (index == 0) return batch.primary();
  if (index > batch.extra.size()) {
    throw ModelError("the module takes more tensors than the batch has: expected Batch::extra[" +
                     std::to_string(index - 1) + "]");
  }
  return batch.extra[index - 1];
}

template <class M, class R, class C, class... A, std::size_t... I>
auto call(M& module, R (C::*)(A...), const Batch& batch, std::index_sequence<I...>) {
  static_assert((std::is_same_v<std::decay_t<A>, torch::Tensor> && ...),
                "adapt(module): forward takes tensors only, or give a function that calls it");
  return module.forward(batch_tensor(batch, I)...);
}

template <class M, class R, class C, class... A, std::size_t... I>
auto call(M& module, R (C::*)(A...) const, const Batch& batch, std::index_sequence<I...> indices) {
  return call(module, static_cast<R (C::*)(A...)>(nullptr), batch, indices);
}

template <class R, class C, class... A>
constexpr std::size_t argument_count(R (C::*)(A...)) {
  return sizeof...(A);
}
template <class R, class C, class... A>
constexpr std::size_t argument_count(R (C::*)(A...) const) {
  return sizeof...(A);
}

}  // namespace detail

/// A Model out of a module whose forward takes tensors: the batch's first tensor (input_ids or inputs_embeds), then
/// Batch::extra. The first tensor of its result becomes the logits, the others Output::extra.
template <class M>
std::shared_ptr<Model> adapt(std::shared_ptr<M> module, AdaptOptions options = {}) {
  auto forward = [module](const Batch& batch) {
    constexpr auto kForward = &M::forward;
    auto result = detail::call(*module, kForward, batch, std::make_index_sequence<detail::argument_count(kForward)>{});
    using vene::detail::collect_tensors;
    vene::detail::TensorRefs tensors;
    collect_tensors(tensors, result);
    Output output;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (i == 0) {
        output.logits = *tensors[i];
      } else {
        output.extra.push_back(*tensors[i]);
      }
    }
    return output;
  };
  return adapt(std::static_pointer_cast<torch::nn::Module>(module),
               std::function<Output(const Batch&)>(std::move(forward)), std::move(options));
}

}  // namespace vene::models
