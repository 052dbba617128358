// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include "vene/hooks/hook_scope.h"
#include "vene/hooks/hook_site.h"

namespace vene {

/// Identity module that marks a value inside a forward, so that it can be read or replaced by name:
/// `query = query_output(query);  // [batch, pos, d_model]`. It fires in phase output.
class VENE_API HookPointImpl : public torch::nn::Cloneable<HookPointImpl>, public HookSite {
 public:
  torch::Tensor forward(torch::Tensor value) {
    HookScope* scope = HookScope::current();
    if (scope == nullptr || !scope->watches(site_id())) [[likely]]
      return value;
    torch::Tensor* const ref = &value;
    scope->fire(site_id(), Phase::kOutput, {}, {&ref, 1});
    return value;
  }
  /// Whether a scope of this thread watches this point: lets a model choose a path that makes the value at all.
  bool watched() const noexcept {
    const HookScope* scope = HookScope::current();
    return scope != nullptr && scope->watches(site_id());
  }
  void reset() override {}
  bool is_serializable() const override { return false; }  // or torch::load would want an entry for every point
};
TORCH_MODULE(HookPoint);

}  // namespace vene
