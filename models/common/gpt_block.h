// SPDX-License-Identifier: Apache-2.0
// What the blocks of GPT-2 and GPT-Neo share: everything but their attention, and the kind of their dense layers.
#pragma once
#include <string>

#include "models/common/decoder.h"

namespace vene::models {

template <class Dense>
class GPTMLPImpl : public torch::nn::Module {
 public:
  GPTMLPImpl(Dense widening, Dense narrowing, const std::string& activation)
      : c_fc(std::move(widening)), c_proj(std::move(narrowing)), act(activation) {
    register_module("c_fc", c_fc);
    register_module("c_proj", c_proj);
    register_module("act", act);
    register_module("dropout", dropout);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return dropout(c_proj(act(c_fc(hidden)))); }

  Dense c_fc, c_proj;
  nn::Activation act;
  HookPoint dropout;
};

template <class Attention, class MLP>
class GPTBlockImpl : public DecoderBlock {
 public:
  GPTBlockImpl(const torch::nn::LayerNormOptions& norm, Attention attention, MLP mlp_)
      : ln_1(norm), attn(std::move(attention)), ln_2(norm), mlp(std::move(mlp_)) {
    register_module("ln_1", ln_1);
    register_module("attn", attn);
    register_module("ln_2", ln_2);
    register_module("mlp", mlp);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) override {
    const torch::Tensor middle = context.wanted_of(hidden) + attn(ln_1(hidden), context);
    return middle + mlp(ln_2(middle));  // [batch, wanted pos, width]
  }

  nn::LayerNorm ln_1;
  Attention attn;
  nn::LayerNorm ln_2;
  MLP mlp;
};

}  // namespace vene::models
