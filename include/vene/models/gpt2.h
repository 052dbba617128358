// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "vene/base/export.h"
#include "vene/models/decoder.h"

namespace vene::models {

/// Sizes and switches of GPT-2, by their names in config.json.
struct GPT2Options {
  std::int64_t vocab_size = 50257;
  std::int64_t n_positions = 1024;
  std::int64_t n_embd = 768;
  std::int64_t n_layer = 12;
  std::int64_t n_head = 12;
  std::int64_t n_inner = 0;                      ///< width of the MLP; 0: four times n_embd
  std::string activation_function = "gelu_new";  ///< any name that nn::Activation knows
  double layer_norm_epsilon = 1e-5;
  bool tie_word_embeddings = true;               ///< the head reads the embedding table
  bool scale_attn_weights = true;                ///< divide scores by the square root of the head width
  bool scale_attn_by_inverse_layer_idx = false;  ///< divide them by the layer's number from 1 as well
  bool language_model_head = true;               ///< false: ends in last_hidden_state, without logits
};

/// GPT-2, with Hugging Face's module paths and parameter names ("transformer.h.0.attn.c_attn.weight"). Without
/// randomness: the places of its dropouts are hook points that pass the value on.
class VENE_API GPT2 : public Decoder {
 public:
  /// ModelError for sizes that make no model and for an unknown activation.
  explicit GPT2(const GPT2Options& options = {});

  std::string architecture() const override { return "gpt2"; }
  const GPT2Options& options() const { return options_; }

 private:
  GPT2Options options_;
};

}  // namespace vene::models
