// SPDX-License-Identifier: Apache-2.0
// Modules of a checkpoint that are called in pieces, or not at all, and are sites all the same.
#pragma once
#include <torch/nn/module.h>

#include "vene/hooks/hook_scope.h"
#include "vene/hooks/hook_site.h"

namespace vene::models {

/// A module whose call is spread over the stages of a model: the base model, an encoder.
class StagedSite : public torch::nn::Module, public HookSite {
 public:
  /// Its first argument, and its result, past the hooks that look at them.
  torch::Tensor entered(const torch::Tensor& value) const { return passed(value, Phase::kInput); }
  torch::Tensor left(const torch::Tensor& value) const { return passed(value, Phase::kOutput); }

 private:
  torch::Tensor passed(torch::Tensor value, Phase phase) const {
    HookScope* scope = HookScope::current();
    if (scope == nullptr || !scope->watches(site_id())) [[likely]]
      return value;
    torch::Tensor* const ref = &value;
    const std::span<torch::Tensor* const> refs(&ref, 1);
    phase == Phase::kInput ? scope->fire(site_id(), phase, refs, {}) : scope->fire(site_id(), phase, {}, refs);
    return value;
  }
};

/// What turns positions into cosines and sines, "rotary_emb" of a checkpoint.
class RotarySite : public torch::nn::Module, public HookSite {
 public:
  /// The angles [batch, 1, pos, turned features] of a hidden state past the hooks, which see them as [batch, pos,
  /// turned features], the cosines first.
  std::pair<torch::Tensor, torch::Tensor> passed(torch::Tensor hidden,
                                                 std::pair<torch::Tensor, torch::Tensor> angles) const {
    HookScope* scope = HookScope::current();
    if (scope == nullptr || !scope->watches(site_id())) [[likely]]
      return angles;
    torch::Tensor* const input = &hidden;
    torch::Tensor cosines = angles.first.squeeze(1), sines = angles.second.squeeze(1);
    torch::Tensor* const outputs[]{&cosines, &sines};
    scope->fire(site_id(), Phase::kInput, {&input, 1}, {});
    scope->fire(site_id(), Phase::kOutput, {&input, 1}, outputs);
    return {cosines.unsqueeze(1), sines.unsqueeze(1)};
  }
};

}  // namespace vene::models
