// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/decoder.h"

namespace vene::models {

/// Sizes and switches of GPT-Neo, by their names in config.json.
struct GPTNeoOptions {
  std::int64_t vocab_size = 50257;
  std::int64_t max_position_embeddings = 2048;
  std::int64_t hidden_size = 2048;
  std::int64_t num_layers = 24;
  std::int64_t num_heads = 16;
  std::int64_t intermediate_size = 0;            ///< width of the MLP; 0: four times hidden_size
  std::vector<std::string> attention_layers{};   ///< "global" or "local", one a layer; empty: global and local by turns
  std::int64_t window_size = 256;                ///< a local layer sees this many positions, its own included
  std::string activation_function = "gelu_new";  ///< any name that nn::Activation knows
  double layer_norm_epsilon = 1e-5;
  bool tie_word_embeddings = true;  ///< the head reads the embedding table
  bool language_model_head = true;  ///< false: ends in last_hidden_state, without logits
};

/// GPT-Neo, with Hugging Face's module paths and parameter names ("transformer.h.0.attn.attention.q_proj.weight"). Its
/// scores are not scaled. Without randomness: the places of its dropouts are hook points that pass the value on.
class VENE_API GPTNeo : public Decoder {
 public:
  /// ModelError for sizes that make no model, an unknown activation and an unknown kind of attention.
  explicit GPTNeo(const GPTNeoOptions& options = {});

  std::string architecture() const override { return "gpt_neo"; }
  const GPTNeoOptions& options() const { return options_; }

 private:
  GPTNeoOptions options_;
};

}  // namespace vene::models
