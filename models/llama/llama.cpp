// SPDX-License-Identifier: Apache-2.0
#include "vene/models/llama.h"

#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/common/rotary.h"
#include "vene/base/error.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {
namespace {

class RMSNormImpl : public torch::nn::Cloneable<RMSNormImpl> {
 public:
  RMSNormImpl(std::int64_t width, double epsilon) : width_(width), epsilon_(epsilon) { reset(); }
  void reset() override { weight = register_parameter("weight", torch::ones({width_})); }
  torch::Tensor forward(const torch::Tensor& hidden) {
    const torch::Tensor wide = hidden.to(torch::kFloat32);
    const torch::Tensor norm = wide * torch::rsqrt(wide.pow(2).mean(-1, true) + epsilon_);
    return weight * norm.to(hidden.scalar_type());
  }
  torch::Tensor weight;

 private:
  std::int64_t width_;
  double epsilon_;
};
TORCH_MODULE_IMPL(RMSNorm, Hooked<RMSNormImpl>);

torch::nn::LinearOptions linear(std::int64_t in, std::int64_t out, bool bias) { return torch::nn::LinearOptions(in, out).bias(bias); }

using Angles = std::pair<torch::Tensor, torch::Tensor>;

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const LlamaOptions& options, std::int64_t layer)
      : q_proj(linear(options.hidden_size, options.num_attention_heads * options.head_dim, options.attention_bias)),
        k_proj(linear(options.hidden_size, options.num_key_value_heads * options.head_dim, options.attention_bias)),
        v_proj(linear(options.hidden_size, options.num_key_value_heads * options.head_dim, options.attention_bias)),
        o_proj(linear(options.num_attention_heads * options.head_dim, options.hidden_size, options.attention_bias)),
        layer_(layer),
        heads_(options.num_attention_heads),
        key_value_heads_(options.num_key_value_heads),
        scale_(1.0 / std::sqrt(static_cast<double>(options.head_dim))) {
    register_module("q_proj", q_proj);
    register_module("k_proj", k_proj);
    register_module("v_proj", v_proj);
    register_module("scores", scores);
    register_module("pattern", pattern);
    register_module("o_proj", o_proj);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context, const Angles& angles) {
    const torch::Tensor queries = rotate(split_heads(q_proj(hidden), heads_), angles);
    torch::Tensor new_keys = rotate(split_heads(k_proj(hidden), key_value_heads_), angles);
    const auto [keys, values] = extend_cache(context.cache, layer_, std::move(new_keys), split_heads(v_proj(hidden), key_value_heads_));
    return o_proj(merge_heads(attend(queries, keys, values, scale_, context.mask, scores, pattern)));  // [batch, pos, hidden_size]
  }

  nn::Linear q_proj, k_proj, v_proj, o_proj;
  HookPoint scores, pattern;

 private:
  std::int64_t layer_, heads_, key_value_heads_;
  double scale_;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class MLPImpl : public torch::nn::Module {
 public:
  explicit MLPImpl(const LlamaOptions& options)
      : gate_proj(linear(options.hidden_size, options.intermediate_size, options.mlp_bias)),
        up_proj(linear(options.hidden_size, options.intermediate_size, options.mlp_bias)),
        down_proj(linear(options.intermediate_size, options.hidden_size, options.mlp_bias)),
        act_fn(options.hidden_act) {
    register_module("gate_proj", gate_proj);
    register_module("up_proj", up_proj);
    register_module("down_proj", down_proj);
    register_module("act_fn", act_fn);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return down_proj(act_fn(gate_proj(hidden)) * up_proj(hidden)); }

  nn::Linear gate_proj, up_proj, down_proj;
  nn::Activation act_fn;
};
TORCH_MODULE_IMPL(MLP, Hooked<MLPImpl>);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const LlamaOptions& options, std::int64_t layer)
      : input_layernorm(options.hidden_size, options.rms_norm_eps),
        self_attn(options, layer),
        post_attention_layernorm(options.hidden_size, options.rms_norm_eps),
        mlp(options) {
    register_module("self_attn", self_attn);
    register_module("mlp", mlp);
    register_module("input_layernorm", input_layernorm);
    register_module("post_attention_layernorm", post_attention_layernorm);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context, const Angles& angles) {
    const torch::Tensor middle = hidden + self_attn(input_layernorm(hidden), context, angles);
    return middle + mlp(post_attention_layernorm(middle));  // [batch, pos, hidden_size]
  }

  RMSNorm input_layernorm;
  Attention self_attn;
  RMSNorm post_attention_layernorm;
  MLP mlp;
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

// Frequencies [d_head / 2] of the rotary positions, Llama 3's stretching included.
torch::Tensor rotary_frequencies(const LlamaOptions& options) {
  const torch::Tensor exponents = torch::arange(0, options.head_dim, 2, torch::kInt64).to(torch::kFloat32) / static_cast<double>(options.head_dim);
  torch::Tensor frequencies = 1.0 / torch::pow(options.rope_theta, exponents) / options.rope_factor;
  if (!options.rope_stretch) return frequencies;
  const RopeStretch& stretch = *options.rope_stretch;
  const auto original = static_cast<double>(stretch.original_max_position_embeddings);
  const torch::Tensor wavelength = 2 * M_PI / frequencies;
  const torch::Tensor smooth = (original / wavelength - stretch.low_freq_factor) / (stretch.high_freq_factor - stretch.low_freq_factor);
  const torch::Tensor between = (1 - smooth) * frequencies / stretch.factor + smooth * frequencies;
  const torch::Tensor is_long = wavelength > original / stretch.low_freq_factor;
  const torch::Tensor is_short = wavelength < original / stretch.high_freq_factor;
  return torch::where(is_long, frequencies / stretch.factor, torch::where(is_short, frequencies, between));
}

class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const LlamaOptions& options)
      : embed_tokens(nn::embedding_options(options.vocab_size, options.hidden_size)), norm(options.hidden_size, options.rms_norm_eps), frequencies(rotary_frequencies(options)) {
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

  nn::Embedding embed_tokens;
  HookPoint embedding;
  std::vector<Block> layers;
  RMSNorm norm;
  torch::Tensor frequencies;  // float32, whatever the model's type
};
TORCH_MODULE(Decoder);

LlamaOptions checked(LlamaOptions options) {
  if (options.num_key_value_heads == 0) options.num_key_value_heads = options.num_attention_heads;
  auto positive = [](const char* name, std::int64_t value) {
    if (value <= 0) throw ModelError(std::string(name) + ": expected a positive number, got " + std::to_string(value));
  };
  positive("vocab_size", options.vocab_size);
  positive("hidden_size", options.hidden_size);
  positive("intermediate_size", options.intermediate_size);
  positive("num_hidden_layers", options.num_hidden_layers);
  positive("num_attention_heads", options.num_attention_heads);
  positive("num_key_value_heads", options.num_key_value_heads);
  positive("max_position_embeddings", options.max_position_embeddings);
  if (options.head_dim == 0) {
    if (options.hidden_size % options.num_attention_heads != 0) {
      throw ModelError("hidden_size " + std::to_string(options.hidden_size) + " is not a multiple of num_attention_heads " + std::to_string(options.num_attention_heads));
    }
    options.head_dim = options.hidden_size / options.num_attention_heads;
  }
  positive("head_dim", options.head_dim);
  if (options.head_dim % 2 != 0) throw ModelError("head_dim " + std::to_string(options.head_dim) + " is odd, and rotary positions turn pairs");
  if (options.num_attention_heads % options.num_key_value_heads != 0) {
    throw ModelError("num_attention_heads " + std::to_string(options.num_attention_heads) + " is not a multiple of num_key_value_heads " + std::to_string(options.num_key_value_heads));
  }
  return options;
}

}  // namespace

struct Llama::Parts {
  Decoder model;
  nn::OutputHead lm_head{nullptr};
};

Llama::Llama(const LlamaOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Decoder(options_)});
  register_module("model", parts_->model);
  if (options_.language_model_head) {
    parts_->lm_head = nn::OutputHead(options_.hidden_size, options_.vocab_size, options_.tie_word_embeddings);
    register_module("lm_head", parts_->lm_head);
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
  if (parts_->lm_head) declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.num_hidden_layers);
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
  const AttentionContext context = attention_context(state, first);
  const Angles angles = rotary_angles(state.position_ids, parts_->model->frequencies, state.hidden.scalar_type());
  for (std::int64_t layer = first; layer < last; ++layer) {
    state.hidden = parts_->model->layers[static_cast<std::size_t>(layer)](state.hidden, context, angles);
  }
  return state;
}

Output Llama::finish(const StageState& state, const torch::Tensor& positions) {
  DecoderImpl& decoder = *parts_->model;
  return finish_language_model(state, positions, decoder.norm, parts_->lm_head, decoder.embed_tokens->weight);
}

}  // namespace vene::models
