// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/common/rotary.h"
#include "vene/models/attention.h"
#include "vene/models/decoder.h"
#include "vene/models/nn.h"

namespace vene::models {

/// A block of a decoder. A port's holder is of `Hooked<its block>`, whose forward overrides this one: calls from here
/// pass the hooks.
class DecoderBlock : public torch::nn::Module {
 public:
  /// hidden [batch, pos, width] -> the same, of the positions that are wanted: `context.wanted_of` keeps these
  virtual torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) = 0;
};

/// The holder of any hooked module that makes a tensor of a tensor.
class TensorModule {
 public:
  template <class Holder>
  TensorModule(Holder holder) : site_(holder.get()), module_(holder.ptr()), forward_(std::move(holder)) {}
  torch::Tensor operator()(const torch::Tensor& input) const { return forward_(input); }
  const HookSite& operator*() const { return *site_; }
  const std::shared_ptr<torch::nn::Module>& module() const { return module_; }

 private:
  const HookSite* site_;
  std::shared_ptr<torch::nn::Module> module_;
  std::function<torch::Tensor(const torch::Tensor&)> forward_;
};

struct DecoderSizes {
  std::int64_t vocabulary, context, width, mlp_width, heads;
  std::int64_t key_value_heads = heads, head_width = width / heads;
};

/// How a port's modules are called, which makes their paths those of Hugging Face's checkpoints. A block has its MLP
/// under "mlp"; its attention has hook points "scores" and "pattern".
struct DecoderNames {
  std::string body, tokens, positions;  ///< "transformer", "wte", "wpe"; no `positions` where they are rotary
  std::string embedding;                ///< the hook point behind the embeddings: "drop"
  std::string layers, norm;             ///< "h", "ln_f"
  std::string attention;                ///< in a block: "attn"
  std::string inside = attention;       ///< in a block, what the five after this are in: GPT-Neo's "attn.attention"
  std::string query, key, value;        ///< what ends in the queries, keys and values, all heads side by side: "q_proj"
  std::string mixed;                    ///< the projection that takes the heads' results: "c_proj"
  std::string activation = "act";       ///< in the MLP
  std::string fused{};                  ///< the projection that queries, keys and values are cut from: "c_attn"
  bool fused_by_head = false;           ///< it has the three of each head side by side
  std::string dropout{};                ///< of the pattern, which hooks find where the pattern is: "attn_dropout"
};

/// What a decoder is made of. `Decoder::assemble` registers it in the order of Hugging Face's models and declares the
/// named sites.
struct DecoderParts {
  DecoderSizes sizes;
  DecoderNames names;
  TensorModule tokens;                                ///< has a parameter "weight", the table [vocabulary, width]
  nn::Embedding positions{nullptr};                   ///< learned positions, added to the tokens
  std::vector<std::shared_ptr<DecoderBlock>> blocks;  ///< as `decoder_blocks` makes them
  TensorModule norm;                                  ///< after the last block
  bool head = true, tied_head = false;
  double logit_cap = 0;                 ///< logits x become cap * tanh(x / cap), at a hook point "logits"; 0: not
  std::vector<std::int64_t> windows{};  ///< how many positions a layer sees, 0 for all; empty: all layers see all
  Turning turning{};                    ///< of rotary positions, which no context bounds
  bool rotary_in_float32 = false;       ///< turn in float32, whatever the model's type
};

/// One `Block(options, layer)` a layer; Block is the holder.
template <class Block, class Options>
std::vector<std::shared_ptr<DecoderBlock>> decoder_blocks(const Options& options, std::int64_t layers) {
  std::vector<std::shared_ptr<DecoderBlock>> blocks;
  for (std::int64_t layer = 0; layer < layers; ++layer) blocks.push_back(Block(options, layer).ptr());
  return blocks;
}

}  // namespace vene::models
