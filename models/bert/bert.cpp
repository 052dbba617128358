// SPDX-License-Identifier: Apache-2.0
#include "vene/models/bert.h"

#include "models/bert/blocks.h"
#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/common/unsupported.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

BertOptions checked(const BertOptions& options) {
  check_encoder_sizes(options);
  check_positive({{"type_vocab_size", options.type_vocab_size}});
  return options;
}

}  // namespace

struct Bert::Parts {
  bert::Body body;
  bert::Head cls{nullptr};
};

Bert::Bert(const BertOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{bert::Body(options_)});
  register_module("bert", parts_->body);
  if (options_.masked_head) {
    parts_->cls = bert::Head(options_);
    register_module("cls", parts_->cls);
  }
  declare_sites();
  sites_.add_paths(*this);
  add_encoder_aliases(sites_, "bert", options_.num_hidden_layers, !options_.masked_head);
}

void Bert::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.hidden_size, heads = options_.num_attention_heads,
                     layers = options_.num_hidden_layers;
  declare.value("embedding", -1, "bert.embeddings.output", *parts_->body->embeddings, width, -1);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    declare_encoder_layer(declare, parts_->body->encoder->layers[static_cast<std::size_t>(layer)],
                          "bert.encoder.layer." + std::to_string(layer), layer, width, heads,
                          options_.intermediate_size);
  }
  if (parts_->cls) {
    bert::PredictionsImpl& predictions = *parts_->cls->predictions;
    declare.value("final_norm", -1, "cls.predictions.transform.output", *predictions.transform, width, layers);
    declare.value("logits", -1, "cls.predictions.decoder.output", *predictions.decoder, options_.vocab_size, layers);
  }
}

void Bert::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(batch, past,
                       {options_.vocab_size, options_.max_position_embeddings, options_.hidden_size, device()});
  if (batch.extra.empty()) return;
  const torch::Tensor& types = batch.extra[0];
  if (batch.extra.size() > 1 || types.sizes() != batch.primary().sizes().slice(0, 2) ||
      types.scalar_type() != torch::kInt64) {
    throw ModelError("extra: expected token types " + shape_text(batch.primary().sizes().slice(0, 2)) +
                     " (int64) and nothing else, got " + std::to_string(batch.extra.size()) +
                     " tensors, the first of shape " + shape_text(types.sizes()));
  }
  if (may_look_at(types) && types.lt(0).logical_or_(types.ge(options_.type_vocab_size)).any().item<bool>()) {
    throw ModelError("extra: token types go from 0 to " + std::to_string(options_.type_vocab_size - 1));
  }
}

StageState Bert::begin(const Batch& batch, KeyValueCache* cache) {
  refuse_cache(cache, "bert");
  const TrustedBatches no_waiting;
  check(batch);
  bert::EmbeddingsImpl& embeddings = *parts_->body->embeddings;
  StageState state = start_state(batch, nullptr);
  const torch::Tensor words = embedded_words(entered(batch, *parts_->body), embeddings.word_embeddings);
  const torch::Tensor types = batch.extra.empty() ? torch::zeros_like(state.position_ids) : batch.extra[0];
  state.hidden = parts_->body->embeddings(words, types, state.position_ids);  // [batch, pos, hidden_size]
  return state;
}

StageState Bert::run(StageState state, std::int64_t first, std::int64_t last) {
  return run_encoder_layers(std::move(state), first, last, *parts_->body->encoder);
}

Output Bert::finish(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens) {
  Output output;
  const torch::Tensor hidden = parts_->body->left(parts_->body->encoder->left(state.hidden));
  output.last_hidden_state = select_positions(hidden, positions);
  if (!parts_->cls) return output;
  // Where something in the head is watched it runs on every position, so that a hook's locations mean what they say.
  const bool everywhere = positions.defined() && any_watched(*parts_->cls);
  output.logits =
      parts_->cls(everywhere ? hidden : output.last_hidden_state, parts_->body->embeddings->word_embeddings->weight);
  if (everywhere) output.logits = select_positions(output.logits, positions);
  output.logits = select_tokens(output.logits, tokens);
  return output;
}

namespace {

std::shared_ptr<Model> build_bert(const ConfigReader& config, bool head) {
  BertOptions options;
  read_encoder_sizes(config, options);
  options.hidden_act = config.text("hidden_act", options.hidden_act);
  options.type_vocab_size = config.integer("type_vocab_size", options.type_vocab_size);
  options.masked_head = head;
  refuse_decoder(config);
  return std::make_shared<Bert>(options);
}

}  // namespace

Family bert_family() {
  Family family{"bert",
                "bert.",
                build_bert,
                {"pooler.dense.weight", "pooler.dense.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias",
                 "embeddings.position_ids", "embeddings.token_type_ids"}};
  family.head = "cls.predictions.decoder";
  family.renamed = {{"LayerNorm.gamma", "LayerNorm.weight"},
                    {"LayerNorm.beta", "LayerNorm.bias"},
                    {"cls.predictions.bias", "cls.predictions.decoder.bias"}};
  return family;
}

}  // namespace vene::models
