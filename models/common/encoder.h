// SPDX-License-Identifier: Apache-2.0
// What BERT and its relatives share: encoders whose checkpoints name the parts of a block alike.
#pragma once
#include <cstdint>
#include <string>

#include "models/common/declare.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {

/// The projections of an encoder's attention, and the hook points of what they make.
class EncoderHeads : public torch::nn::Module {
 public:
  EncoderHeads(std::int64_t width, std::int64_t heads);

  nn::Linear query, key, value;
  HookPoint scores, pattern;

 protected:
  std::int64_t heads_;
  double scale_;  ///< 1 / sqrt(head width)
};

/// activation(dense(hidden))
class IntermediateImpl : public torch::nn::Module {
 public:
  IntermediateImpl(std::int64_t width, std::int64_t inner, const std::string& activation);
  torch::Tensor forward(const torch::Tensor& hidden);

  nn::Linear dense;
  nn::Activation activation;
};
TORCH_MODULE_IMPL(Intermediate, Hooked<IntermediateImpl>);

/// The named sites of one block, a holder: `attention->self` (EncoderHeads), `attention->output->dropout`, `intermediate` and `output->dropout`
/// are where what attention and MLP read and add passes by.
template <class Layer>
void declare_encoder_layer(const SiteDeclarer& declare, const Layer& holder, const std::string& path, std::int64_t layer, std::int64_t width,
                           std::int64_t heads, std::int64_t inner) {
  const std::string self = path + ".attention.self";
  const auto& block = *holder;
  const auto& attention = *block.attention->self;
  const EncoderHeads& made = attention;
  declare.value("block_input", layer, path + ".input", block, width);
  declare.value("block_output", layer, path + ".output", block, width);
  declare.value("attention_input", layer, self + ".input", attention, width);
  declare.value("attention_output", layer, path + ".attention.output.dropout.output", *block.attention->output->dropout, width);
  declare.heads("attention_value_output", layer, self + ".output", attention, width, heads);
  declare.heads("query_output", layer, self + ".query.output", *made.query, width, heads);
  declare.heads("key_output", layer, self + ".key.output", *made.key, width, heads);
  declare.heads("value_output", layer, self + ".value.output", *made.value, width, heads);
  declare.scores("attention_scores", layer, self + ".scores.output", *made.scores, heads);
  declare.scores("attention_pattern", layer, self + ".pattern.output", *made.pattern, heads);
  declare.value("mlp_input", layer, path + ".intermediate.input", *block.intermediate, width);
  declare.value("mlp_activation", layer, path + ".intermediate.output", *block.intermediate, inner);
  declare.value("mlp_output", layer, path + ".output.dropout.output", *block.output->dropout, width);
}

/// ModelError for a key-value cache: an encoder keeps none.
void refuse_cache(const KeyValueCache* cache, const std::string& architecture);

}  // namespace vene::models
