// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

/// Llama 3's stretching of low rotary frequencies, by the names in config.json's rope_parameters.
struct RopeStretch {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 8192;
};

/// Sizes and switches of the Llama architecture, by their names in config.json.
struct LlamaOptions {
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 0;  ///< 0: as many as attention heads
  std::int64_t head_dim = 0;             ///< 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  double rope_factor = 1;                ///< linear scaling: positions are divided by it
  std::optional<RopeStretch> rope_stretch;
  std::string hidden_act = "silu";
  bool attention_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  bool language_model_head = true;       ///< false: ends in last_hidden_state, without logits
};

/// Llama, with Hugging Face's module paths and parameter names ("model.layers.0.self_attn.q_proj.weight").
class VENE_API Llama : public StagedModel {
 public:
  /// ModelError for sizes that make no model and for an unknown activation.
  explicit Llama(const LlamaOptions& options = {});

  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  std::int64_t layer_count() const override { return options_.num_hidden_layers; }
  std::int64_t hidden_size() const override { return options_.hidden_size; }
  std::int64_t vocabulary_size() const override { return options_.vocab_size; }
  std::int64_t context_length() const override { return options_.max_position_embeddings; }
  std::string architecture() const override { return "llama"; }
  const LlamaOptions& options() const { return options_; }

 private:
  struct Parts;
  void declare_sites();

  LlamaOptions options_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace vene::models
