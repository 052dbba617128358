// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt_neox.h"

#include <cmath>

#include "models/common/checks.h"
#include "models/common/decoder.h"
#include "models/common/rotary.h"
#include "models/registry.h"

namespace vene::models {
namespace {

torch::nn::LayerNormOptions norm_options(const GPTNeoXOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_eps);
}

torch::nn::LinearOptions linear(std::int64_t in, std::int64_t out, bool bias = true) {
  return torch::nn::LinearOptions(in, out).bias(bias);
}

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

  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    const torch::Tensor joined = query_key_value(hidden);  // [batch, pos, heads * 3 * d_head]
    const std::vector<torch::Tensor> parts = joined.view({joined.size(0), joined.size(1), heads_, -1}).chunk(3, -1);
    const torch::Tensor queries = rotate(context.wanted_of(marked(query_output, parts[0]), 2), context.wanted_angles());
    const auto [keys, values] = extend_cache(
        context.cache, layer_, rotate(marked(key_output, parts[1]), context.angles), marked(value_output, parts[2]));
    return dense(merge_heads(
        attend(queries, keys, values, scale_, context.mask, scores, pattern)));  // [batch, wanted pos, hidden_size]
  }

  nn::Linear query_key_value, dense;
  HookPoint query_output, key_output, value_output, scores, pattern;

 private:
  // A part [batch, pos, heads, d_head] past its hook point, which sees [batch, pos, hidden_size], as [batch, heads,
  // pos, d_head]. The copy that brings a part together is made only for a hook.
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

class BlockImpl : public DecoderBlock {
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
  torch::Tensor forward(const torch::Tensor& all, const AttentionContext& context) override {
    const torch::Tensor attended = post_attention_dropout(attention(input_layernorm(all), context)),
                        hidden = context.wanted_of(all);
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

// On its own: what a throwing initialiser of the parts beside it leaves behind, GCC 12 would free twice.
DecoderNames names() {
  return {.body = "gpt_neox",
          .tokens = "embed_in",
          .embedding = "emb_dropout",
          .layers = "layers",
          .norm = "final_layer_norm",
          .attention = "attention",
          .query = "query",
          .key = "key",
          .value = "value",
          .mixed = "dense",
          .fused = "query_key_value",
          .fused_by_head = true};
}

DecoderParts parts(const GPTNeoXOptions& options) {
  return {.sizes = {.vocabulary = options.vocab_size,
                    .context = options.max_position_embeddings,
                    .width = options.hidden_size,
                    .mlp_width = options.intermediate_size,
                    .heads = options.num_attention_heads},
          .names = names(),
          .tokens = nn::Embedding(nn::embedding_options(options.vocab_size, options.hidden_size)),
          .blocks = decoder_blocks<Block>(options, options.num_hidden_layers),
          .norm = nn::LayerNorm(norm_options(options)),
          .head = options.language_model_head,
          .tied_head = options.tie_word_embeddings,
          .turning = Turning(options.rotary, options.hidden_size / options.num_attention_heads)};
}

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
  options.rotary =
      read_rotary(config, options.max_position_embeddings, options.rotary, {"rotary_emb_base", "rotary_pct"});
  options.use_parallel_residual = config.boolean("use_parallel_residual", true);
  options.attention_bias = config.boolean("attention_bias", true);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  options.language_model_head = head;
  return std::make_shared<GPTNeoX>(options);
}

}  // namespace

GPTNeoX::GPTNeoX(const GPTNeoXOptions& options) : options_(checked(options)) {
  assemble(parts(options_));
  if (!options_.language_model_head) return;
  for (const char* end : {".input", ".output"})  // as the head is called in checkpoints
    sites_.add_alias(std::string("embed_out") + end, std::string("lm_head") + end);
}

Family gpt_neox_family() {
  return {"gpt_neox",     "gpt_neox.",
          build_gpt_neox, {".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"},
          "lm_head",      {{"embed_out.", "lm_head."}}};
}

}  // namespace vene::models
