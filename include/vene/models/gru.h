// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

/// What a GRU ends in, and the class of pyvene whose checkpoints it reads.
enum class GRUHead : std::uint8_t {
  kNone,           ///< GRUModel: last_hidden_state
  kClassifier,     ///< GRUForClassification: logits [batch, n_labels] of each row's last step
  kLanguageModel,  ///< GRULMHeadModel: logits [batch, pos, vocabulary]
};

/// Sizes and switches of pyvene's GRU, by their names in its config.json.
struct GRUOptions {
  std::int64_t h_dim = 512;
  std::int64_t n_layer = 2;
  std::int64_t n_labels = 2;
  bool include_bias = true;
  bool include_emb = false;  ///< has embeddings and takes input_ids; else inputs_embeds [batch, pos, h_dim] only
  std::int64_t vocab_size = 50257;
  std::int64_t max_position_embeddings = 512;
  bool tie_word_embeddings = false;  ///< the language-model head reads the embedding table
  GRUHead head = GRUHead::kClassifier;
};

/// A stack of GRU cells, one call of a cell a time step: unit "t" picks the steps. Parameter names are pyvene's
/// ("gru.cells.0.x2h.weight", "score.weight"). Padded steps, at either end, leave a row's state as it is. Position
/// embeddings are added where Batch::extra holds position ids, and only there. A stage is a layer; the cache holds the
/// states [batch, 1, pos, h_dim] of each.
class VENE_API GRU : public StagedModel {
 public:
  explicit GRU(const GRUOptions& options = {});

  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {},
                const torch::Tensor& tokens = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  std::int64_t layer_count() const override { return options_.n_layer; }
  std::int64_t hidden_size() const override { return options_.h_dim; }
  std::int64_t vocabulary_size() const override {
    return options_.include_emb || options_.head == GRUHead::kLanguageModel ? options_.vocab_size : 0;
  }
  std::string architecture() const override { return "gru"; }
  const GRUOptions& options() const { return options_; }

 private:
  struct Parts;
  void declare_sites();

  GRUOptions options_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace vene::models
