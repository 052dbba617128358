// SPDX-License-Identifier: Apache-2.0
// What BERT and its relatives share: encoders whose checkpoints name the parts of a block alike.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/common/checks.h"
#include "models/common/config_reader.h"
#include "models/common/declare.h"
#include "models/common/staged_site.h"
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

/// The named sites of one block, a holder: `attention->self` (EncoderHeads), `attention->output->dropout`,
/// `intermediate` and `output->dropout` are where what attention and MLP read and add passes by.
template <class Layer>
void declare_encoder_layer(const SiteDeclarer& declare, const Layer& holder, const std::string& path,
                           std::int64_t layer, std::int64_t width, std::int64_t heads, std::int64_t inner) {
  const std::string self = path + ".attention.self";
  const auto& block = *holder;
  const auto& attention = *block.attention->self;
  const EncoderHeads& made = attention;
  declare.value("block_input", layer, path + ".input", block, width);
  declare.value("block_output", layer, path + ".output", block, width);
  declare.value("attention_input", layer, self + ".input", attention, width);
  declare.value("attention_output", layer, path + ".attention.output.dropout.output", *block.attention->output->dropout,
                width);
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

/// ModelError for sizes that make no encoder.
template <class Options>
void check_encoder_sizes(const Options& options) {
  check_positive({{"vocab_size", options.vocab_size},
                  {"hidden_size", options.hidden_size},
                  {"num_hidden_layers", options.num_hidden_layers},
                  {"num_attention_heads", options.num_attention_heads},
                  {"intermediate_size", options.intermediate_size},
                  {"max_position_embeddings", options.max_position_embeddings}});
  check_multiple({"hidden_size", options.hidden_size}, {"num_attention_heads", options.num_attention_heads});
}

/// The fields that all encoders have in config.json.
template <class Options>
void read_encoder_sizes(const ConfigReader& config, Options& options) {
  options.vocab_size = config.integer("vocab_size");
  options.hidden_size = config.integer("hidden_size");
  options.num_hidden_layers = config.integer("num_hidden_layers");
  options.num_attention_heads = config.integer("num_attention_heads");
  options.intermediate_size = config.integer("intermediate_size", options.intermediate_size);
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.layer_norm_eps = config.number("layer_norm_eps", options.layer_norm_eps);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
}

/// Words [batch, pos, width]: of the batch's token ids, or the vectors that it gives in their stead, in the table's
/// type.
torch::Tensor embedded_words(const Batch& batch, nn::Embedding& table);

/// The batch with its ids or vectors past the hooks on the way into the base model.
inline Batch entered(Batch batch, const StagedSite& body) {
  torch::Tensor& input = batch.input_ids.defined() ? batch.input_ids : batch.inputs_embeds;
  input = body.entered(input);
  return batch;
}

/// Other names of sites: the dropout of the pattern, which hooks find where the pattern is, and in a checkpoint without
/// a head everything without the base model's name in front.
void add_encoder_aliases(SiteTable& sites, const std::string& body, std::int64_t layers, bool headless);

/// Layers [first, last) of an encoder, whose `layers` are holders that take (hidden, context). `angles` are of rotary
/// positions, undefined where there are none.
template <class Encoder>
StageState run_encoder_layers(StageState state, std::int64_t first, std::int64_t last, Encoder& encoder,
                              const std::pair<torch::Tensor, torch::Tensor>& angles = {}) {
  auto& layers = encoder.layers;
  check_stages(first, last, static_cast<std::int64_t>(layers.size()));
  if (first == last) return state;
  const AttentionContext context{padding_mask(state.attention_mask, state.hidden.options().requires_grad(false)),
                                 state.position_ids, nullptr, angles};
  if (first == 0) state.hidden = encoder.entered(state.hidden);
  for (std::int64_t layer = first; layer < last; ++layer) {
    state.hidden = layers[static_cast<std::size_t>(layer)](state.hidden, context);
  }
  return state;
}

/// ModelError for a key-value cache: an encoder keeps none.
void refuse_cache(const KeyValueCache* cache, const std::string& architecture);

}  // namespace vene::models
