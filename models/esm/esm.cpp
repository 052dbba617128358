// SPDX-License-Identifier: Apache-2.0
#include "vene/models/esm.h"

#include "models/common/checks.h"
#include "models/common/finish.h"
#include "models/common/unsupported.h"
#include "models/esm/blocks.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

EsmOptions checked(const EsmOptions& options) {
  check_encoder_sizes(options);
  const std::string& type = options.position_embedding_type;
  if (type != "absolute" && type != "rotary")
    throw ModelError("position_embedding_type '" + type + "' is not built in" +
                     name_hint(type, {"absolute", "rotary"}));
  const auto check_token = [&](const char* name, std::int64_t token) {
    if (token < 0 || token >= options.vocab_size) {
      throw ModelError(std::string(name) + " " + std::to_string(token) + " is outside the vocabulary of " +
                       std::to_string(options.vocab_size));
    }
  };
  if (options.token_dropout) check_token("mask_token_id", options.mask_token_id);
  if (type == "absolute") {
    check_token("pad_token_id", options.pad_token_id);
    if (options.max_position_embeddings <= options.pad_token_id + 1) {
      throw ModelError("max_position_embeddings: positions start at pad_token_id + 1, " +
                       std::to_string(options.pad_token_id + 1) + ", so expected more than that, got " +
                       std::to_string(options.max_position_embeddings));
    }
  }
  return options;
}

}  // namespace

struct Esm::Parts {
  esm::Body body;
  esm::Head lm_head{nullptr};
};

Esm::Esm(const EsmOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{esm::Body(options_)});
  register_module("esm", parts_->body);
  if (options_.masked_head) {
    parts_->lm_head = esm::Head(options_);
    register_module("lm_head", parts_->lm_head);
  }
  declare_sites();
  sites_.add_paths(*this);
  add_encoder_aliases(sites_, "esm", options_.num_hidden_layers, !options_.masked_head);
}

void Esm::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.hidden_size, layers = options_.num_hidden_layers;
  esm::BodyImpl& body = *parts_->body;
  declare.value("embedding", -1, "esm.embeddings.output", *body.embeddings, width, -1);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    declare_encoder_layer(declare, body.encoder->layers[static_cast<std::size_t>(layer)],
                          "esm.encoder.layer." + std::to_string(layer), layer, width, options_.num_attention_heads,
                          options_.intermediate_size);
  }
  if (!parts_->lm_head) {
    declare.value("final_norm", -1, "esm.encoder.emb_layer_norm_after.output", *body.encoder->emb_layer_norm_after,
                  width, layers);
    return;
  }
  declare.value("final_norm", -1, "lm_head.layer_norm.output", *parts_->lm_head->norm, width, layers);
  declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, layers);
}

std::int64_t Esm::context_length() const {
  return options_.max_position_embeddings - (is_rotary() ? 0 : options_.pad_token_id + 1);
}

void Esm::set_rotary_frequencies(const torch::Tensor& frequencies) {
  if (!is_rotary())
    throw ModelError("rotary frequencies: this model's positions are " + options_.position_embedding_type);
  if (frequencies.sizes() != parts_->body->frequencies.sizes() || !frequencies.is_floating_point()) {
    throw ModelError("rotary frequencies: expected " + shape_text(parts_->body->frequencies.sizes()) +
                     " floating-point values, got " + shape_text(frequencies.sizes()) + " of type " +
                     c10::toString(frequencies.scalar_type()));
  }
  parts_->body->frequencies = frequencies.detach().to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true);
  parts_->body->frequencies_on = OnDevice(parts_->body->frequencies);
}

void Esm::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(batch, past, {options_.vocab_size, context_length(), options_.hidden_size, device()});
  if (!options_.token_dropout || !batch.input_ids.defined() || !may_look_at(batch.input_ids)) return;
  // The rest of a row is scaled by the share that is not masked, so there must be one.
  torch::Tensor rest = batch.input_ids.ne(options_.mask_token_id);
  torch::Tensor text = torch::ones_like(rest);
  if (batch.attention_mask.defined()) text = batch.attention_mask.to(rest.device()).ne(0);
  const torch::Tensor empty = torch::nonzero(text.any(1) & (rest & text).any(1).logical_not());
  if (empty.size(0) > 0) {
    throw ModelError("input_ids row " + std::to_string(empty[0][0].item<std::int64_t>()) +
                     ": all tokens are the mask token " + std::to_string(options_.mask_token_id) +
                     ", expected another among them (token_dropout scales by their share)");
  }
}

StageState Esm::begin(const Batch& batch, KeyValueCache* cache) {
  refuse_cache(cache, "esm");
  const TrustedBatches no_waiting;
  check(batch);
  esm::EmbeddingsImpl& embeddings = *parts_->body->embeddings;
  StageState state = start_state(batch, nullptr);
  const Batch seen = entered(batch, *parts_->body);
  const torch::Tensor words = embedded_words(seen, embeddings.word_embeddings);
  state.hidden = parts_->body->embeddings(words, seen.input_ids, state.attention_mask);  // [batch, pos, hidden_size]
  return state;
}

StageState Esm::run(StageState state, std::int64_t first, std::int64_t last) {
  esm::BodyImpl& body = *parts_->body;
  const Angles angles = is_rotary() && first < last
                            ? rotary_angles(state.position_ids, body.frequencies_on(state.position_ids.device()),
                                            state.hidden.scalar_type())
                            : Angles();
  return run_encoder_layers(std::move(state), first, last, *body.encoder, angles);
}

Output Esm::finish(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens) {
  esm::BodyImpl& body = *parts_->body;
  return finish_language_model(state, positions, tokens, body.encoder->emb_layer_norm_after, parts_->lm_head,
                               body.embeddings->word_embeddings->weight, {body.encoder.get(), &body});
}

namespace {

std::shared_ptr<Model> build_esm(const ConfigReader& config, bool head) {
  EsmOptions options;
  read_encoder_sizes(config, options);
  options.position_embedding_type = config.text("position_embedding_type", options.position_embedding_type);
  if (config.has("rope_theta")) options.rope_theta = config.positive("rope_theta");
  options.token_dropout = config.boolean("token_dropout", false);
  options.emb_layer_norm_before = config.boolean("emb_layer_norm_before", false);
  options.masked_head = head;
  if (options.position_embedding_type == "absolute") options.pad_token_id = config.integer("pad_token_id");
  if (options.token_dropout) options.mask_token_id = config.integer("mask_token_id");
  refuse_decoder(config);
  return std::make_shared<Esm>(options);
}

// Frequencies, once or once a layer, which are the same in all of them; and the table of positions that rotary
// checkpoints may have left over.
void take_frequencies(Model& model, std::map<std::string, torch::Tensor>& weights, const std::string& where) {
  auto& esm = dynamic_cast<Esm&>(model);
  torch::Tensor frequencies;
  std::erase_if(weights, [&](const auto& entry) {
    const bool found = entry.first.ends_with("rotary_embeddings.inv_freq");
    if (found && !frequencies.defined()) frequencies = entry.second;
    return found;
  });
  if (!esm.is_rotary()) return;
  weights.erase("esm.embeddings.position_embeddings.weight");
  try {
    if (frequencies.defined()) esm.set_rotary_frequencies(frequencies);
  } catch (const ModelError& error) {
    throw ModelError(where + ": " + error.what());
  }
}

}  // namespace

Family esm_family() {
  Family family{"esm",
                "esm.",
                build_esm,
                {"pooler.dense.weight", "pooler.dense.bias", "contact_head.regression.weight",
                 "contact_head.regression.bias", "embeddings.position_ids"}};
  family.head = "lm_head.decoder";
  family.renamed = {{"LayerNorm.gamma", "LayerNorm.weight"},
                    {"LayerNorm.beta", "LayerNorm.bias"},
                    {"lm_head.decoder.bias", "lm_head.bias"}};
  family.take = take_frequencies;
  return family;
}

}  // namespace vene::models
