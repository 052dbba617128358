// SPDX-License-Identifier: Apache-2.0
// The Llama family as a staged model: embeddings, blocks, final norm and head.
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>
#include <map>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/llama_family/blocks.h"
#include "vene/base/error.h"

namespace vene::models {
namespace {

using llama_blocks::AttentionImpl;
using llama_blocks::Block;
using llama_blocks::BlockImpl;
using llama_blocks::Norm;
using llama_blocks::TokenEmbedding;

class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const LlamaOptions& options)
      : embed_tokens(options.vocab_size, options.hidden_size, options.embedding_scale),
        norm(options.norm, options.hidden_size, options.rms_norm_eps),
        frequencies(rotary_frequencies(options.rotary, options.head_dim)) {
    register_module("embed_tokens", embed_tokens);
    register_module("embedding", embedding);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.num_hidden_layers; ++layer) {
      layers.emplace_back(options, layer);
      list->push_back(layers.back());
    }
    register_module("layers", list);
    register_module("norm", norm);
  }

  TokenEmbedding embed_tokens;
  HookPoint embedding;
  std::vector<Block> layers;
  Norm norm;
  torch::Tensor frequencies;  // float32, whatever the model's type
};
TORCH_MODULE(Decoder);

LlamaOptions checked(LlamaOptions options) {
  if (options.num_key_value_heads == 0) options.num_key_value_heads = options.num_attention_heads;
  check_positive({{"vocab_size", options.vocab_size},
                  {"hidden_size", options.hidden_size},
                  {"intermediate_size", options.intermediate_size},
                  {"num_hidden_layers", options.num_hidden_layers},
                  {"num_attention_heads", options.num_attention_heads},
                  {"num_key_value_heads", options.num_key_value_heads},
                  {"max_position_embeddings", options.max_position_embeddings}});
  if (options.head_dim == 0) {
    check_multiple({"hidden_size", options.hidden_size}, {"num_attention_heads", options.num_attention_heads});
    options.head_dim = options.hidden_size / options.num_attention_heads;
  }
  check_positive({{"head_dim", options.head_dim}});
  if (options.head_dim % 2 != 0) throw ModelError("head_dim " + std::to_string(options.head_dim) + " is odd, and rotary positions turn pairs");
  check_multiple({"num_attention_heads", options.num_attention_heads}, {"num_key_value_heads", options.num_key_value_heads});
  const bool windowed = !options.windows.empty();
  if (windowed && static_cast<std::int64_t>(options.windows.size()) != options.num_hidden_layers) {
    throw ModelError("windows are given for " + std::to_string(options.windows.size()) + " layers, num_hidden_layers is " + std::to_string(options.num_hidden_layers));
  }
  for (const std::int64_t window : options.windows) {
    if (window < 0) throw ModelError("sliding_window: expected a positive number, got " + std::to_string(window));
  }
  return options;
}

}  // namespace

struct Llama::Parts {
  Decoder model;
  nn::OutputHead lm_head{nullptr};
  HookPoint logits = HookPoint();  // after the soft cap; used by a model with one only
};

Llama::Llama(const LlamaOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Decoder(options_)});
  register_module("model", parts_->model);
  if (options_.language_model_head) {
    parts_->lm_head = nn::OutputHead(options_.hidden_size, options_.vocab_size, options_.tie_word_embeddings);
    register_module("lm_head", parts_->lm_head);
    if (options_.logit_cap > 0) register_module("logits", parts_->logits);
  }
  declare_sites();
  sites_.add_paths(*this);
}

void Llama::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.hidden_size, heads = options_.num_attention_heads, key_value_heads = options_.num_key_value_heads;
  DecoderImpl& decoder = *parts_->model;
  declare.value("embedding", -1, "model.embedding.output", *decoder.embedding, width, -1);
  for (std::int64_t layer = 0; layer < options_.num_hidden_layers; ++layer) {
    const std::string path = "model.layers." + std::to_string(layer);
    const Block& holder = decoder.layers[static_cast<std::size_t>(layer)];
    const HookSite& whole = *holder;
    const BlockImpl& block = *holder;
    const AttentionImpl& attention = *block.self_attn;
    declare.value("block_input", layer, path + ".input", whole, width);
    declare.value("block_output", layer, path + ".output", whole, width);
    declare.value("attention_input", layer, path + ".self_attn.input", *block.self_attn, width);
    declare.value("attention_output", layer, path + ".self_attn.output", *block.self_attn, width);
    declare.heads("attention_value_output", layer, path + ".self_attn.o_proj.input", *attention.o_proj, heads * options_.head_dim, heads);
    declare.heads("query_output", layer, path + ".self_attn.q_proj.output", *attention.q_proj, heads * options_.head_dim, heads);
    declare.heads("key_output", layer, path + ".self_attn.k_proj.output", *attention.k_proj, key_value_heads * options_.head_dim, key_value_heads);
    declare.heads("value_output", layer, path + ".self_attn.v_proj.output", *attention.v_proj, key_value_heads * options_.head_dim, key_value_heads);
    declare.scores("attention_scores", layer, path + ".self_attn.scores.output", *attention.scores, heads);
    declare.scores("attention_pattern", layer, path + ".self_attn.pattern.output", *attention.pattern, heads);
    declare.value("mlp_input", layer, path + ".mlp.input", *block.mlp, width);
    declare.value("mlp_activation", layer, path + ".mlp.act_fn.output", *block.mlp->act_fn, options_.intermediate_size);
    declare.value("mlp_output", layer, path + ".mlp.output", *block.mlp, width);
  }
  declare.value("final_norm", -1, "model.norm.output", *decoder.norm, width, options_.num_hidden_layers);
  if (!parts_->lm_head) return;
  if (options_.logit_cap > 0) {
    declare.value("logits", -1, "logits.output", *parts_->logits, options_.vocab_size, options_.num_hidden_layers);
  } else {
    declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.num_hidden_layers);
  }
}

void Llama::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(batch, past, {options_.vocab_size, options_.max_position_embeddings, options_.hidden_size, parts_->model->embed_tokens->weight.device()});
}

StageState Llama::begin(const Batch& batch, KeyValueCache* cache) {
  check(batch, cache != nullptr ? cache->length() : 0);
  DecoderImpl& decoder = *parts_->model;
  StageState state = start_state(batch, cache);
  state.hidden = decoder.embedding(batch.input_ids.defined() ? decoder.embed_tokens(batch.input_ids)
                                                             : batch.inputs_embeds.to(decoder.embed_tokens->weight.scalar_type()));  // [batch, pos, hidden_size]
  return state;
}

StageState Llama::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.num_hidden_layers);
  if (first == last) return state;
  const torch::ScalarType type = options_.rotary_in_float32 ? torch::kFloat32 : state.hidden.scalar_type();
  const Angles angles = rotary_angles(state.position_ids, parts_->model->frequencies, type);
  std::map<std::int64_t, AttentionContext> contexts;  // by window
  for (std::int64_t layer = first; layer < last; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    const std::int64_t window = options_.windows.empty() ? 0 : options_.windows[index];
    const auto [context, fresh] = contexts.try_emplace(window);
    if (fresh) context->second = attention_context(state, layer, window);
    state.hidden = parts_->model->layers[index](state.hidden, context->second, angles);
  }
  return state;
}

Output Llama::finish(const StageState& state, const torch::Tensor& positions) {
  DecoderImpl& decoder = *parts_->model;
  return finish_language_model(state, positions, decoder.norm, parts_->lm_head, decoder.embed_tokens->weight, options_.logit_cap, parts_->logits);
}

}  // namespace vene::models
