// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt_neo.h"

#include "models/common/checks.h"
#include "models/common/gpt_block.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

torch::nn::LayerNormOptions norm_options(const GPTNeoOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_epsilon);
}

torch::nn::LinearOptions square(std::int64_t width, bool bias) {
  return torch::nn::LinearOptions(width, width).bias(bias);
}

class SelfAttentionImpl : public torch::nn::Module {
 public:
  SelfAttentionImpl(const GPTNeoOptions& options, std::int64_t layer)
      : q_proj(square(options.hidden_size, false)),
        k_proj(square(options.hidden_size, false)),
        v_proj(square(options.hidden_size, false)),
        out_proj(square(options.hidden_size, true)),
        layer_(layer),
        heads_(options.num_heads) {
    register_module("k_proj", k_proj);
    register_module("v_proj", v_proj);
    register_module("q_proj", q_proj);
    register_module("scores", scores);
    register_module("pattern", pattern);
    register_module("out_proj", out_proj);
    register_module("resid_dropout", resid_dropout);
  }

  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    constexpr double kUnscaled = 1;
    const torch::Tensor queries = split_heads(q_proj(context.wanted_of(hidden)), heads_);
    torch::Tensor new_keys = split_heads(k_proj(hidden), heads_), new_values = split_heads(v_proj(hidden), heads_);
    const auto [keys, values] = extend_cache(context.cache, layer_, std::move(new_keys), std::move(new_values));
    const torch::Tensor mixed = attend(queries, keys, values, kUnscaled, context.mask, scores, pattern);
    return resid_dropout(out_proj(merge_heads(mixed)));  // [batch, wanted pos, hidden_size]
  }

  nn::Linear q_proj, k_proj, v_proj, out_proj;
  HookPoint scores, pattern, resid_dropout;

 private:
  std::int64_t layer_, heads_;
};
TORCH_MODULE_IMPL(SelfAttention, Hooked<SelfAttentionImpl>);

// Hugging Face has a module around the attention, so that names have "attn.attention" in them.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const GPTNeoOptions& options, std::int64_t layer) : attention(options, layer) {
    register_module("attention", attention);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    return attention(hidden, context);
  }

  SelfAttention attention;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

TORCH_MODULE_IMPL(MLP, Hooked<GPTMLPImpl<nn::Linear>>);

class BlockImpl : public GPTBlockImpl<Attention, MLP> {
 public:
  // Braces: weights are drawn in this order.
  BlockImpl(const GPTNeoOptions& options, std::int64_t layer)
      : GPTBlockImpl{norm_options(options), Attention(options, layer),
                     MLP{nn::Linear(torch::nn::LinearOptions(options.hidden_size, options.intermediate_size)),
                         nn::Linear(torch::nn::LinearOptions(options.intermediate_size, options.hidden_size)),
                         options.activation_function}} {}
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

GPTNeoOptions checked(GPTNeoOptions options) {
  if (options.intermediate_size == 0) options.intermediate_size = 4 * options.hidden_size;
  check_positive({{"vocab_size", options.vocab_size},
                  {"max_position_embeddings", options.max_position_embeddings},
                  {"hidden_size", options.hidden_size},
                  {"num_layers", options.num_layers},
                  {"num_heads", options.num_heads},
                  {"intermediate_size", options.intermediate_size},
                  {"window_size", options.window_size}});
  check_multiple({"hidden_size", options.hidden_size}, {"num_heads", options.num_heads});
  if (options.attention_layers.empty()) {
    for (std::int64_t layer = 0; layer < options.num_layers; ++layer)
      options.attention_layers.emplace_back(layer % 2 == 0 ? "global" : "local");
  }
  if (static_cast<std::int64_t>(options.attention_layers.size()) != options.num_layers) {
    throw ModelError("attention_types or attention_layers tell of " + std::to_string(options.attention_layers.size()) +
                     " layers, num_layers is " + std::to_string(options.num_layers));
  }
  for (const std::string& kind : options.attention_layers) {
    if (kind != "global" && kind != "local")
      throw ModelError("attention of kind '" + kind + "' is not built in" + name_hint(kind, {"global", "local"}));
  }
  return options;
}

DecoderParts parts(const GPTNeoOptions& options) {
  std::vector<std::int64_t> windows;
  for (const std::string& kind : options.attention_layers) windows.push_back(kind == "local" ? options.window_size : 0);
  return {.sizes = {.vocabulary = options.vocab_size,
                    .context = options.max_position_embeddings,
                    .width = options.hidden_size,
                    .mlp_width = options.intermediate_size,
                    .heads = options.num_heads},
          .names = {.body = "transformer",
                    .tokens = "wte",
                    .positions = "wpe",
                    .embedding = "drop",
                    .layers = "h",
                    .norm = "ln_f",
                    .attention = "attn",
                    .inside = "attn.attention",
                    .query = "q_proj",
                    .key = "k_proj",
                    .value = "v_proj",
                    .mixed = "out_proj",
                    .dropout = "attn_dropout"},
          .tokens = nn::Embedding(nn::embedding_options(options.vocab_size, options.hidden_size)),
          .positions = nn::Embedding(nn::embedding_options(options.max_position_embeddings, options.hidden_size)),
          .blocks = decoder_blocks<Block>(options, options.num_layers),
          .norm = nn::LayerNorm(norm_options(options)),
          .head = options.language_model_head,
          .tied_head = options.tie_word_embeddings,
          .windows = windows};
}

std::shared_ptr<Model> build_gpt_neo(const ConfigReader& config, bool head) {
  GPTNeoOptions options;
  options.vocab_size = config.integer("vocab_size");
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.hidden_size = config.integer("hidden_size");
  options.num_layers = config.integer("num_layers");
  options.num_heads = config.integer("num_heads");
  options.intermediate_size = config.integer("intermediate_size", 0);
  options.attention_layers = config.repeated_texts("attention_types");
  const std::vector<std::string> plain = config.texts("attention_layers");
  if (options.attention_layers.empty()) options.attention_layers = plain;
  options.window_size = config.integer("window_size", options.window_size);
  options.activation_function = config.text("activation_function", options.activation_function);
  options.layer_norm_epsilon = config.number("layer_norm_epsilon", options.layer_norm_epsilon);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
  options.language_model_head = head;
  auto model = std::make_shared<GPTNeo>(options);
  if (!plain.empty() && !options.attention_layers.empty() && plain != options.attention_layers) {
    throw ModelError(
        "attention_types and attention_layers contradict each other; expected one of them, or the same from both");
  }
  return model;
}

}  // namespace

GPTNeo::GPTNeo(const GPTNeoOptions& options) : options_(checked(options)) {
  assemble(parts(options_));
}

Family gpt_neo_family() {
  return {"gpt_neo", "transformer.", build_gpt_neo, {".attn.attention.bias", ".attn.attention.masked_bias"}};
}

}  // namespace vene::models
