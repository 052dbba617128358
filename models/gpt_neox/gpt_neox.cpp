// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt_neox.h"

#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/common/rotary.h"
#include "models/registry.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {
namespace {

torch::nn::LayerNormOptions norm_options(const GPTNeoXOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_eps);
}

torch::nn::LinearOptions linear(std::int64_t in, std::int64_t out, bool bias = true) { return torch::nn::LinearOptions(in, out).bias(bias); }

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const GPTNeoXOptions& options, std::int64_t layer)
      : query_key_value(linear(options.hidden_size, 3 * options.hidden_size, options.attention_bias)),
        dense(linear(options.hidden_size, options.hidden_size, options.attention_bias)),
        layer_(layer),
        heads_(options.num_attention_heads),
        scale_(1.0 / std::sqrt(static_cast<double>(options.hidden_size / options.num_attention_heads))) {
    register_module("query_key_value", query_key_value);
    register_module("query", query_output);
    register_module("key", key_output);
    register_module("value", value_output);
    register_module("scores", scores);
    register_module("pattern", pattern);
    register_module("dense", dense);
  }

  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context, const Angles& angles) {
    const torch::Tensor joined = query_key_value(hidden);  // [batch, pos, heads * 3 * d_head]
    const std::vector<torch::Tensor> parts = joined.view({joined.size(0), joined.size(1), heads_, -1}).chunk(3, -1);
    const torch::Tensor queries = rotate(marked(query_output, parts[0]), angles);
    const auto [keys, values] = extend_cache(context.cache, layer_, rotate(marked(key_output, parts[1]), angles), marked(value_output, parts[2]));
    return dense(merge_heads(attend(queries, keys, values, scale_, context.mask, scores, pattern)));  // [batch, pos, hidden_size]
  }

  nn::Linear query_key_value, dense;
  HookPoint query_output, key_output, value_output, scores, pattern;

 private:
  // A part [batch, pos, heads, d_head] past its hook point, which sees [batch, pos, hidden_size], as [batch, heads, pos, d_head]. The copy
  // that brings a part together is made only for a hook.
  torch::Tensor marked(HookPoint& point, const torch::Tensor& part) const {
    return point->watched() ? split_heads(point(part.flatten(2)), heads_) : part.transpose(1, 2);
  }

  std::int64_t layer_, heads_;
  double scale_;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class MLPImpl : public torch::nn::Module {
 public:
  explicit MLPImpl(const GPTNeoXOptions& options)
      : dense_h_to_4h(linear(options.hidden_size, options.intermediate_size)),
        dense_4h_to_h(linear(options.intermediate_size, options.hidden_size)),
        act(options.hidden_act) {
    register_module("dense_h_to_4h", dense_h_to_4h);
    register_module("dense_4h_to_h", dense_4h_to_h);
    register_module("act", act);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return dense_4h_to_h(act(dense_h_to_4h(hidden))); }

  nn::Linear dense_h_to_4h, dense_4h_to_h;
  nn::Activation act;
};
TORCH_MODULE_IMPL(MLP, Hooked<MLPImpl>);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const GPTNeoXOptions& options, std::int64_t layer)
      : input_layernorm(norm_options(options)),
        post_attention_layernorm(norm_options(options)),
        attention(options, layer),
        mlp(options),
        parallel_(options.use_parallel_residual) {
    register_module("input_layernorm", input_layernorm);
    register_module("post_attention_layernorm", post_attention_layernorm);
    register_module("post_attention_dropout", post_attention_dropout);
    register_module("post_mlp_dropout", post_mlp_dropout);
    register_module("attention", attention);
    register_module("mlp", mlp);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context, const Angles& angles) {
    const torch::Tensor attended = post_attention_dropout(attention(input_layernorm(hidden), context, angles));
    if (parallel_) return post_mlp_dropout(mlp(post_attention_layernorm(hidden))) + attended + hidden;
    const torch::Tensor middle = attended + hidden;
    return post_mlp_dropout(mlp(post_attention_layernorm(middle))) + middle;  // [batch, pos, hidden_size]
  }

  nn::LayerNorm input_layernorm, post_attention_layernorm;
  HookPoint post_attention_dropout, post_mlp_dropout;
  Attention attention;
  MLP mlp;

 private:
  bool parallel_;
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

class BodyImpl : public torch::nn::Module {
 public:
  explicit BodyImpl(const GPTNeoXOptions& options)
      : embed_in(nn::embedding_options(options.vocab_size, options.hidden_size)),
        final_layer_norm(norm_options(options)),
        frequencies(rotary_frequencies(options.rotary, options.hidden_size / options.num_attention_heads)) {
    register_module("embed_in", embed_in);
    register_module("emb_dropout", emb_dropout);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.num_hidden_layers; ++layer) {
      layers.emplace_back(options, layer);
      list->push_back(layers.back());
    }
    register_module("layers", list);
    register_module("final_layer_norm", final_layer_norm);
  }

  nn::Embedding embed_in;
  HookPoint emb_dropout;
  std::vector<Block> layers;
  nn::LayerNorm final_layer_norm;
  torch::Tensor frequencies;  // float32, whatever the model's type
};
TORCH_MODULE(Body);

GPTNeoXOptions checked(const GPTNeoXOptions& options) {
  check_positive({{"vocab_size", options.vocab_size},
                  {"hidden_size", options.hidden_size},
                  {"num_hidden_layers", options.num_hidden_layers},
                  {"num_attention_heads", options.num_attention_heads},
                  {"intermediate_size", options.intermediate_size},
                  {"max_position_embeddings", options.max_position_embeddings}});
  check_multiple({"hidden_size", options.hidden_size}, {"num_attention_heads", options.num_attention_heads});
  return options;
}

}  // namespace

struct GPTNeoX::Parts {
  Body gpt_neox;
  nn::OutputHead lm_head{nullptr};
};

GPTNeoX::GPTNeoX(const GPTNeoXOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Body(options_)});
  register_module("gpt_neox", parts_->gpt_neox);
  if (options_.language_model_head) {
    parts_->lm_head = nn::OutputHead(options_.hidden_size, options_.vocab_size, options_.tie_word_embeddings);
    register_module("lm_head", parts_->lm_head);
  }
  declare_sites();
  sites_.add_paths(*this);
}

void GPTNeoX::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.hidden_size, heads = options_.num_attention_heads;
  BodyImpl& body = *parts_->gpt_neox;
  declare.value("embedding", -1, "gpt_neox.emb_dropout.output", *body.emb_dropout, width, -1);
  for (std::int64_t layer = 0; layer < options_.num_hidden_layers; ++layer) {
    const std::string path = "gpt_neox.layers." + std::to_string(layer);
    const Block& holder = body.layers[static_cast<std::size_t>(layer)];
    const HookSite& whole = *holder;
    const BlockImpl& block = *holder;
    const AttentionImpl& attention = *block.attention;
    declare.value("block_input", layer, path + ".input", whole, width);
    declare.value("block_output", layer, path + ".output", whole, width);
    declare.value("attention_input", layer, path + ".attention.input", *block.attention, width);
    declare.value("attention_output", layer, path + ".attention.output", *block.attention, width);
    declare.heads("attention_value_output", layer, path + ".attention.dense.input", *attention.dense, width, heads);
    declare.heads("query_output", layer, path + ".attention.query.output", *attention.query_output, width, heads);
    declare.heads("key_output", layer, path + ".attention.key.output", *attention.key_output, width, heads);
    declare.heads("value_output", layer, path + ".attention.value.output", *attention.value_output, width, heads);
    declare.scores("attention_scores", layer, path + ".attention.scores.output", *attention.scores, heads);
    declare.scores("attention_pattern", layer, path + ".attention.pattern.output", *attention.pattern, heads);
    declare.value("mlp_input", layer, path + ".mlp.input", *block.mlp, width);
    declare.value("mlp_activation", layer, path + ".mlp.act.output", *block.mlp->act, options_.intermediate_size);
    declare.value("mlp_output", layer, path + ".mlp.output", *block.mlp, width);
  }
  declare.value("final_norm", -1, "gpt_neox.final_layer_norm.output", *body.final_layer_norm, width, options_.num_hidden_layers);
  if (parts_->lm_head) declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.num_hidden_layers);
}

void GPTNeoX::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(batch, past, {options_.vocab_size, options_.max_position_embeddings, options_.hidden_size, parts_->gpt_neox->embed_in->weight.device()});
}

StageState GPTNeoX::begin(const Batch& batch, KeyValueCache* cache) {
  check(batch, cache != nullptr ? cache->length() : 0);
  BodyImpl& body = *parts_->gpt_neox;
  StageState state = start_state(batch, cache);
  state.hidden = body.emb_dropout(batch.input_ids.defined() ? body.embed_in(batch.input_ids)
                                                            : batch.inputs_embeds.to(body.embed_in->weight.scalar_type()));  // [batch, pos, hidden_size]
  return state;
}

StageState GPTNeoX::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.num_hidden_layers);
  if (first == last) return state;
  const AttentionContext context = attention_context(state, first);
  const Angles angles = rotary_angles(state.position_ids, parts_->gpt_neox->frequencies, state.hidden.scalar_type());
  for (std::int64_t layer = first; layer < last; ++layer) {
    state.hidden = parts_->gpt_neox->layers[static_cast<std::size_t>(layer)](state.hidden, context, angles);
  }
  return state;
}

Output GPTNeoX::finish(const StageState& state, const torch::Tensor& positions) {
  BodyImpl& body = *parts_->gpt_neox;
  return finish_language_model(state, positions, body.final_layer_norm, parts_->lm_head, body.embed_in->weight);
}

namespace {

std::shared_ptr<Model> build_gpt_neox(const ConfigReader& config, bool head) {
  GPTNeoXOptions options;
  options.vocab_size = config.integer("vocab_size");
  options.hidden_size = config.integer("hidden_size");
  options.num_hidden_layers = config.integer("num_hidden_layers");
  options.num_attention_heads = config.integer("num_attention_heads");
  options.intermediate_size = config.integer("intermediate_size");
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.hidden_act = config.text("hidden_act", options.hidden_act);
  options.layer_norm_eps = config.number("layer_norm_eps", options.layer_norm_eps);
  options.rotary = read_rotary(config, options.rotary, {"rotary_emb_base", "rotary_pct"});
  options.use_parallel_residual = config.boolean("use_parallel_residual", true);
  options.attention_bias = config.boolean("attention_bias", true);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  options.language_model_head = head;
  return std::make_shared<GPTNeoX>(options);
}

}  // namespace

Family gpt_neox_family() {
  return {"gpt_neox", "gpt_neox.", build_gpt_neox, {".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"}, "lm_head", {{"embed_out.", "lm_head."}}};
}

}  // namespace vene::models
