// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

/// Sizes and switches of ESM, by their names in config.json.
struct EsmOptions {
  std::int64_t vocab_size = 33;
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  std::int64_t max_position_embeddings = 1026;
  std::string position_embedding_type = "absolute";  ///< or "rotary"
  double rope_theta = 10000;                         ///< of rotary positions
  double layer_norm_eps = 1e-12;
  std::int64_t pad_token_id = 1;       ///< absolute positions start after it and pass its tokens over
  std::int64_t mask_token_id = 32;     ///< read with token_dropout only
  bool token_dropout = false;          ///< mask tokens embed as zeros, and the rest is scaled by the share of them
  bool emb_layer_norm_before = false;  ///< a norm between embeddings and blocks
  bool tie_word_embeddings = true;     ///< the head reads the embedding table
  bool masked_head = true;             ///< false: ends in last_hidden_state, without logits
};

/// ESM, an encoder of proteins: every position looks at the whole text. With Hugging Face's module paths and parameter
/// names
/// ("esm.encoder.layer.0.attention.self.query.weight"). It keeps no key-value cache and does not generate.
/// `Batch::inputs_embeds` stands in for the whole of the embeddings: neither positions nor a norm come upon it. The
/// places of its dropouts are hook points.
class VENE_API Esm : public StagedModel {
 public:
  /// ModelError for sizes that make no model and for an unknown position_embedding_type.
  explicit Esm(const EsmOptions& options = {});

  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {},
                const torch::Tensor& tokens = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  bool reads_ahead() const override { return true; }
  std::int64_t layer_count() const override { return options_.num_hidden_layers; }
  std::int64_t hidden_size() const override { return options_.hidden_size; }
  std::int64_t vocabulary_size() const override { return options_.vocab_size; }
  std::int64_t context_length() const override;
  std::string architecture() const override { return "esm"; }
  const EsmOptions& options() const { return options_; }

  bool is_rotary() const { return options_.position_embedding_type == "rotary"; }
  /// Rotary frequencies [d_head / 2] in the stead of those that rope_theta gives: checkpoints keep the ones that they
  /// were trained with, which may have been rounded. ModelError for another shape and for a model without rotary
  /// positions.
  void set_rotary_frequencies(const torch::Tensor& frequencies);

 private:
  struct Parts;
  void declare_sites();

  EsmOptions options_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace vene::models
