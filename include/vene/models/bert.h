// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

/// Sizes and switches of BERT, by their names in config.json.
struct BertOptions {
  std::int64_t vocab_size = 30522;
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";  ///< any name that nn::Activation knows
  std::int64_t max_position_embeddings = 512;
  std::int64_t type_vocab_size = 2;
  double layer_norm_eps = 1e-12;
  bool tie_word_embeddings = true;  ///< the head reads the embedding table
  bool masked_head = true;          ///< false: ends in last_hidden_state, without logits
};

/// BERT, an encoder: every position looks at the whole text. With Hugging Face's module paths and parameter names
/// ("bert.encoder.layer.0.attention.self.query.weight"). It keeps no key-value cache and does not generate. All tokens
/// are of type 0 unless `Batch::extra` holds their types, [batch, pos] int64. The places of its dropouts are hook
/// points.
class VENE_API Bert : public StagedModel {
 public:
  /// ModelError for sizes that make no model and for an unknown activation.
  explicit Bert(const BertOptions& options = {});

  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {},
                const torch::Tensor& tokens = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  bool reads_ahead() const override { return true; }
  std::int64_t layer_count() const override { return options_.num_hidden_layers; }
  std::int64_t hidden_size() const override { return options_.hidden_size; }
  std::int64_t vocabulary_size() const override { return options_.vocab_size; }
  std::int64_t context_length() const override { return options_.max_position_embeddings; }
  std::string architecture() const override { return "bert"; }
  const BertOptions& options() const { return options_; }

 private:
  struct Parts;
  void declare_sites();

  BertOptions options_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace vene::models
