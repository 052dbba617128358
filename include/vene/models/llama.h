// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/decoder.h"
#include "vene/models/rotary.h"

namespace vene::models {

/// What the norms of a member of the Llama family compute, in float32.
enum class NormKind : std::uint8_t {
  kRms,        ///< root mean square, cast to the model's type, times the weight
  kRmsWide,    ///< the same, cast after the weight
  kRmsOffset,  ///< times 1 + the weight (Gemma)
  kLayer,      ///< mean and variance, without parameters (OLMo)
};
/// Where a block has its norms: before attention and MLP, after them (OLMo 2), or on both sides (Gemma 2).
enum class NormPlacement : std::uint8_t { kBefore, kAfter, kBoth };
/// Whether queries and keys are normed before they are turned: not, each head by itself (Qwen 3), or all heads as one
/// (OLMo 2).
enum class QueryKeyNorm : std::uint8_t { kNone, kEachHead, kWhole };

/// Sizes and switches of the Llama family; sizes by their names in config.json. The defaults are Llama's, and a member
/// of the family is a set of them.
struct LlamaOptions {
  std::string architecture = "llama";  ///< config.json's model_type
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 0;  ///< 0: as many as attention heads
  std::int64_t head_dim = 0;             ///< 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 2048;
  std::string hidden_act = "silu";   ///< any name that nn::Activation knows
  bool tie_word_embeddings = false;  ///< the head reads the embedding table
  bool language_model_head = true;   ///< false: ends in last_hidden_state, without logits

  double rms_norm_eps = 1e-6;
  NormKind norm = NormKind::kRms;
  NormPlacement norm_placement = NormPlacement::kBefore;

  bool attention_bias = false;  ///< of queries, keys and values
  bool attention_output_bias = false;
  bool mlp_bias = false;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  double clip_qkv = 0;         ///< queries, keys and values are cut to this magnitude; 0: not
  double attention_scale = 0;  ///< scores are multiplied by it; 0: one over the square root of head_dim
  double attention_cap = 0;    ///< scores x become cap * tanh(x / cap); 0: not
  double logit_cap = 0;        ///< the same for logits
  double embedding_scale = 1;  ///< token embeddings are multiplied by it; inputs_embeds are not
  /// How many positions a layer sees, its own included, 0 for all; empty: all layers see all
  std::vector<std::int64_t> windows{};
  RotaryOptions rotary{};
  bool rotary_in_float32 = false;  ///< turn queries and keys in float32, whatever the model's type
};

/// Llama and its relatives (Mistral, Qwen 2 and 3, Gemma 1 and 2, OLMo 1 and 2), with Hugging Face's module paths and
/// parameter names
/// ("model.layers.0.self_attn.q_proj.weight").
class VENE_API Llama : public Decoder {
 public:
  /// ModelError for sizes that make no model and for an unknown activation.
  explicit Llama(const LlamaOptions& options = {});

  std::string architecture() const override { return options_.architecture; }
  const LlamaOptions& options() const { return options_; }

 private:
  LlamaOptions options_;
};

}  // namespace vene::models
