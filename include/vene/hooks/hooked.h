// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <type_traits>

#include "vene/hooks/hook_scope.h"
#include "vene/hooks/hook_site.h"
#include "vene/hooks/tensor_refs.h"

namespace vene {
namespace detail {

template <class M>
concept HasOneForward = requires {
  &M::forward;
};

template <class Forward>
struct ForwardSignature;

template <class M, class Forward>
class HookedForward;

// Hides M::forward with a function of the same signature, so that holder(x), ->forward(x), AnyModule, Sequential and
// ModuleList, which all name `forward` on the static type they were given, come through here.
#define VENE_HOOKED_FORWARD(CONST)                                                         \
  template <class M, class R, class C, class... A>                                         \
  class HookedForward<M, R (C::*)(A...) CONST> : public M, public HookSite {               \
   public:                                                                                 \
    using M::M;                                                                            \
    explicit HookedForward(const M& other) : M(other) {}                                   \
    R forward(A... args) CONST {                                                           \
      HookScope* scope = HookScope::current();                                             \
      if (scope == nullptr || !scope->watches(site_id())) [[likely]] {                     \
        return M::forward(std::forward<A>(args)...);                                       \
      }                                                                                    \
      return forward_hooked(*scope, args...);                                              \
    }                                                                                      \
                                                                                           \
   private:                                                                                \
    /* By value: writable copies of the handles, so that the caller's stay as they are. */ \
    R forward_hooked(HookScope& scope, std::decay_t<A>... args) CONST {                    \
      TensorRefs inputs;                                                                   \
      (collect_tensors(inputs, args), ...);                                                \
      scope.fire(site_id(), Phase::kInput, inputs, {});                                    \
      std::decay_t<R> result = M::forward(static_cast<A>(args)...);                        \
      TensorRefs outputs;                                                                  \
      collect_tensors(outputs, result);                                                    \
      scope.fire(site_id(), Phase::kOutput, inputs, outputs);                              \
      return result;                                                                       \
    }                                                                                      \
  };
VENE_HOOKED_FORWARD()
VENE_HOOKED_FORWARD(const)
#undef VENE_HOOKED_FORWARD

// Chosen instead of an unreadable substitution failure.
template <class M>
struct NoSingleForward : M, HookSite {
  static_assert(HasOneForward<M>,
                "vene::Hooked<M> needs exactly one non-template M::forward; mark the value inside the forward with a "
                "vene::HookPoint instead");
};

template <class M, bool = HasOneForward<M>>
struct HookedBase {
  using type = NoSingleForward<M>;
};
template <class M>
struct HookedBase<M, true> {
  using type = HookedForward<M, decltype(&M::forward)>;
};

}  // namespace detail

/// Any stock or user module with its input and output made sites: `Hooked<torch::nn::LinearImpl>`. Parameters, their
/// names and the class's own interface stay as they were. Default arguments of M::forward are not inherited: a call
/// that relies on them does not compile. A call through `M*` or `as<M>()` passes the hooks by.
template <class M>
class Hooked : public detail::HookedBase<M>::type {
  using Base = typename detail::HookedBase<M>::type;

 public:
  using Base::Base;
  explicit Hooked(const M& other) : Base(other) {}

  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override {
    return std::make_shared<Hooked>(dynamic_cast<const M&>(*M::clone(device)));
  }
};

}  // namespace vene
