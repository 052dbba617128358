// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "vene/base/export.h"
#include "vene/models/model.h"

namespace vene::models {

/// Sizes of pyvene's MLP classifier, by their names in its config.json.
struct MLPOptions {
  std::int64_t h_dim = 512;
  std::int64_t n_layer = 2;
  std::int64_t num_classes = 2;
  bool include_bias = true;
  bool squeeze_output = true;  ///< logits [batch, classes] instead of [batch, pos, classes] for one position
  std::string activation_function = "gelu";
};

/// pyvene's MLPForClassification: blocks act(Linear(x)), then a linear score. Takes Batch::inputs_embeds [batch, pos,
/// h_dim]. Parameter names are pyvene's ("mlp.h.0.ff1.weight", "score.weight").
class VENE_API MLPClassifier : public StagedModel {
 public:
  explicit MLPClassifier(const MLPOptions& options = {});

  StageState begin(const Batch& batch, KeyValueCache* cache = nullptr) override;
  StageState run(StageState state, std::int64_t first, std::int64_t last) override;
  Output finish(const StageState& state, const torch::Tensor& positions = {},
                const torch::Tensor& tokens = {}) override;
  void check(const Batch& batch, std::int64_t past = 0) const override;

  std::int64_t layer_count() const override { return options_.n_layer; }
  std::int64_t hidden_size() const override { return options_.h_dim; }
  std::string architecture() const override { return "mlp"; }
  const MLPOptions& options() const { return options_; }

 private:
  struct Parts;
  MLPOptions options_;
  std::shared_ptr<Parts> parts_;
};

}  // namespace vene::models
