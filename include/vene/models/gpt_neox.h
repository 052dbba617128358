// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "vene/base/export.h"
#include "vene/models/decoder.h"
#include "vene/models/rotary.h"

namespace vene::models {

/// Sizes and switches of GPT-NeoX (Pythia), by their names in config.json.
struct GPTNeoXOptions {
  std::int64_t vocab_size = 50432;
  std::int64_t hidden_size = 6144;
  std::int64_t num_hidden_layers = 44;
  std::int64_t num_attention_heads = 64;
  std::int64_t intermediate_size = 24576;
  std::int64_t max_position_embeddings = 2048;
  std::string hidden_act = "gelu";  ///< any name that nn::Activation knows
  double layer_norm_eps = 1e-5;
  RotaryOptions rotary{.partial = 0.25};  ///< rotary_emb_base and rotary_pct
  /// Attention and MLP both read the block's input; false: the MLP reads what attention left
  bool use_parallel_residual = true;
  bool attention_bias = true;
  bool tie_word_embeddings = false;  ///< the head reads the embedding table
  bool language_model_head = true;   ///< false: ends in last_hidden_state, without logits
};

/// GPT-NeoX, with Hugging Face's module paths and parameter names ("gpt_neox.layers.0.attention.dense.weight"; the head
/// is "lm_head", which checkpoints call "embed_out"). Queries, keys and values are made by one layer, a head's three
/// side by side; query_output, key_output and value_output are the three, each with its heads in order. Without
/// randomness: the places of its dropouts are hook points.
class VENE_API GPTNeoX : public Decoder {
 public:
  /// ModelError for sizes that make no model and for an unknown activation.
  explicit GPTNeoX(const GPTNeoXOptions& options = {});

  std::string architecture() const override { return "gpt_neox"; }
  const GPTNeoXOptions& options() const { return options_; }

 private:
  GPTNeoXOptions options_;
};

}  // namespace vene::models
