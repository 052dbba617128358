// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt2.h"

#include <cmath>

#include "models/common/checks.h"
#include "models/common/gpt_block.h"
#include "models/registry.h"

namespace vene::models {
namespace {

torch::nn::LayerNormOptions norm_options(const GPT2Options& options) {
  return torch::nn::LayerNormOptions({options.n_embd}).eps(options.layer_norm_epsilon);
}

class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const GPT2Options& options, std::int64_t layer)
      : c_attn(options.n_embd, 3 * options.n_embd),
        c_proj(options.n_embd, options.n_embd),
        layer_(layer),
        heads_(options.n_head),
        scale_(
            (options.scale_attn_weights ? 1.0 / std::sqrt(static_cast<double>(options.n_embd / options.n_head)) : 1.0) /
            (options.scale_attn_by_inverse_layer_idx ? static_cast<double>(layer + 1) : 1.0)) {
    register_module("c_attn", c_attn);
    register_module("query", query_output);
    register_module("key", key_output);
    register_module("value", value_output);
    register_module("scores", scores);
    register_module("pattern", pattern);
    register_module("c_proj", c_proj);
    register_module("resid_dropout", resid_dropout);
  }

  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    const std::vector<torch::Tensor> parts = c_attn(hidden).chunk(3, -1);
    const torch::Tensor query = query_output(parts[0]);  // [batch, pos, n_embd]
    const torch::Tensor key = key_output(parts[1]);      // [batch, pos, n_embd]
    const torch::Tensor value = value_output(parts[2]);  // [batch, pos, n_embd]
    const auto [keys, values] =
        extend_cache(context.cache, layer_, split_heads(key, heads_), split_heads(value, heads_));
    const torch::Tensor mixed =
        attend(split_heads(context.wanted_of(query), heads_), keys, values, scale_, context.mask, scores, pattern);
    return resid_dropout(c_proj(merge_heads(mixed)));  // [batch, wanted pos, n_embd]
  }

  nn::Conv1D c_attn, c_proj;
  HookPoint query_output, key_output, value_output, scores, pattern, resid_dropout;

 private:
  std::int64_t layer_, heads_;
  double scale_;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

TORCH_MODULE_IMPL(MLP, Hooked<GPTMLPImpl<nn::Conv1D>>);

class BlockImpl : public GPTBlockImpl<Attention, MLP> {
 public:
  // Braces: weights are drawn in this order.
  BlockImpl(const GPT2Options& options, std::int64_t layer)
      : GPTBlockImpl{norm_options(options), Attention(options, layer),
                     MLP{nn::Conv1D(options.n_embd, options.n_inner), nn::Conv1D(options.n_inner, options.n_embd),
                         options.activation_function}} {}
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

GPT2Options checked(GPT2Options options) {
  check_positive({{"vocab_size", options.vocab_size},
                  {"n_positions", options.n_positions},
                  {"n_embd", options.n_embd},
                  {"n_layer", options.n_layer},
                  {"n_head", options.n_head}});
  check_multiple({"n_embd", options.n_embd}, {"n_head", options.n_head});
  if (options.n_inner == 0) options.n_inner = 4 * options.n_embd;
  check_positive({{"n_inner", options.n_inner}});
  return options;
}

DecoderParts parts(const GPT2Options& options) {
  return {.sizes = {.vocabulary = options.vocab_size,
                    .context = options.n_positions,
                    .width = options.n_embd,
                    .mlp_width = options.n_inner,
                    .heads = options.n_head},
          .names = {.body = "transformer",
                    .tokens = "wte",
                    .positions = "wpe",
                    .embedding = "drop",
                    .layers = "h",
                    .norm = "ln_f",
                    .attention = "attn",
                    .query = "query",
                    .key = "key",
                    .value = "value",
                    .mixed = "c_proj",
                    .fused = "c_attn",
                    .dropout = "attn_dropout"},
          .tokens = nn::Embedding(nn::embedding_options(options.vocab_size, options.n_embd)),
          .positions = nn::Embedding(nn::embedding_options(options.n_positions, options.n_embd)),
          .blocks = decoder_blocks<Block>(options, options.n_layer),
          .norm = nn::LayerNorm(norm_options(options)),
          .head = options.language_model_head,
          .tied_head = options.tie_word_embeddings};
}

std::shared_ptr<Model> build_gpt2(const ConfigReader& config, bool head) {
  GPT2Options options;
  options.vocab_size = config.integer("vocab_size");
  options.n_positions = config.integer("n_positions", config.integer("n_ctx", options.n_positions));
  options.n_embd = config.integer("n_embd");
  options.n_layer = config.integer("n_layer");
  options.n_head = config.integer("n_head");
  options.n_inner = config.integer("n_inner", 0);
  options.activation_function = config.text("activation_function", options.activation_function);
  options.layer_norm_epsilon = config.number("layer_norm_epsilon", options.layer_norm_epsilon);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
  options.scale_attn_weights = config.boolean("scale_attn_weights", true);
  options.scale_attn_by_inverse_layer_idx = config.boolean("scale_attn_by_inverse_layer_idx", false);
  options.language_model_head = head;
  return std::make_shared<GPT2>(options);
}

}  // namespace

GPT2::GPT2(const GPT2Options& options) : options_(checked(options)) {
  assemble(parts(options_));
}

Family gpt2_family() {
  return {"gpt2", "transformer.", build_gpt2, {".attn.bias", ".attn.masked_bias"}};
}

}  // namespace vene::models
