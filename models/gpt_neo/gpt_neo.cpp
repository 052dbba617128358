// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt_neo.h"

#include <torch/nn/modules/container/modulelist.h>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {
namespace {

torch::nn::LayerNormOptions norm_options(const GPTNeoOptions& options) {
  return torch::nn::LayerNormOptions({options.hidden_size}).eps(options.layer_norm_epsilon);
}

torch::nn::LinearOptions square(std::int64_t width, bool bias) { return torch::nn::LinearOptions(width, width).bias(bias); }

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
    const torch::Tensor queries = split_heads(q_proj(hidden), heads_);
    torch::Tensor new_keys = split_heads(k_proj(hidden), heads_), new_values = split_heads(v_proj(hidden), heads_);
    const auto [keys, values] = extend_cache(context.cache, layer_, std::move(new_keys), std::move(new_values));
    const torch::Tensor mixed = attend(queries, keys, values, kUnscaled, context.mask, scores, pattern);
    return resid_dropout(out_proj(merge_heads(mixed)));  // [batch, pos, hidden_size]
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
  AttentionImpl(const GPTNeoOptions& options, std::int64_t layer) : attention(options, layer) { register_module("attention", attention); }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) { return attention(hidden, context); }

  SelfAttention attention;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class MLPImpl : public torch::nn::Module {
 public:
  explicit MLPImpl(const GPTNeoOptions& options)
      : c_fc(options.hidden_size, options.intermediate_size), c_proj(options.intermediate_size, options.hidden_size), act(options.activation_function) {
    register_module("c_fc", c_fc);
    register_module("c_proj", c_proj);
    register_module("act", act);
    register_module("dropout", dropout);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return dropout(c_proj(act(c_fc(hidden)))); }

  nn::Linear c_fc, c_proj;
  nn::Activation act;
  HookPoint dropout;
};
TORCH_MODULE_IMPL(MLP, Hooked<MLPImpl>);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const GPTNeoOptions& options, std::int64_t layer)
      : ln_1(norm_options(options)), attn(options, layer), ln_2(norm_options(options)), mlp(options) {
    register_module("ln_1", ln_1);
    register_module("attn", attn);
    register_module("ln_2", ln_2);
    register_module("mlp", mlp);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    const torch::Tensor middle = attn(ln_1(hidden), context) + hidden;
    return middle + mlp(ln_2(middle));  // [batch, pos, hidden_size]
  }

  nn::LayerNorm ln_1;
  Attention attn;
  nn::LayerNorm ln_2;
  MLP mlp;
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

class TransformerImpl : public torch::nn::Module {
 public:
  explicit TransformerImpl(const GPTNeoOptions& options)
      : wte(nn::embedding_options(options.vocab_size, options.hidden_size)),
        wpe(nn::embedding_options(options.max_position_embeddings, options.hidden_size)),
        ln_f(norm_options(options)) {
    register_module("wte", wte);
    register_module("wpe", wpe);
    register_module("drop", drop);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.num_layers; ++layer) {
      h.emplace_back(options, layer);
      list->push_back(h.back());
    }
    register_module("h", list);
    register_module("ln_f", ln_f);
  }

  nn::Embedding wte, wpe;
  HookPoint drop;
  std::vector<Block> h;
  nn::LayerNorm ln_f;
};
TORCH_MODULE(Transformer);

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
    for (std::int64_t layer = 0; layer < options.num_layers; ++layer) options.attention_layers.emplace_back(layer % 2 == 0 ? "global" : "local");
  }
  if (static_cast<std::int64_t>(options.attention_layers.size()) != options.num_layers) {
    throw ModelError("attention_types or attention_layers tell of " + std::to_string(options.attention_layers.size()) + " layers, num_layers is " +
                     std::to_string(options.num_layers));
  }
  for (const std::string& kind : options.attention_layers) {
    if (kind != "global" && kind != "local") throw ModelError("attention of kind '" + kind + "' is not built in" + name_hint(kind, {"global", "local"}));
  }
  return options;
}

}  // namespace

struct GPTNeo::Parts {
  Transformer transformer;
  nn::OutputHead lm_head{nullptr};
};

GPTNeo::GPTNeo(const GPTNeoOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Transformer(options_)});
  register_module("transformer", parts_->transformer);
  if (options_.language_model_head) {
    parts_->lm_head = nn::OutputHead(options_.hidden_size, options_.vocab_size, options_.tie_word_embeddings);
    register_module("lm_head", parts_->lm_head);
  }
  declare_sites();
  sites_.add_paths(*this);
}

void GPTNeo::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.hidden_size, heads = options_.num_heads;
  TransformerImpl& transformer = *parts_->transformer;
  declare.value("embedding", -1, "transformer.drop.output", *transformer.drop, width, -1);
  for (std::int64_t layer = 0; layer < options_.num_layers; ++layer) {
    const std::string path = "transformer.h." + std::to_string(layer), inner = path + ".attn.attention.";
    const Block& holder = transformer.h[static_cast<std::size_t>(layer)];
    const HookSite& whole = *holder;
    const BlockImpl& block = *holder;
    const SelfAttentionImpl& attention = *block.attn->attention;
    declare.value("block_input", layer, path + ".input", whole, width);
    declare.value("block_output", layer, path + ".output", whole, width);
    declare.value("attention_input", layer, path + ".attn.input", *block.attn, width);
    declare.value("attention_output", layer, path + ".attn.output", *block.attn, width);
    declare.heads("attention_value_output", layer, inner + "out_proj.input", *attention.out_proj, width, heads);
    declare.heads("query_output", layer, inner + "q_proj.output", *attention.q_proj, width, heads);
    declare.heads("key_output", layer, inner + "k_proj.output", *attention.k_proj, width, heads);
    declare.heads("value_output", layer, inner + "v_proj.output", *attention.v_proj, width, heads);
    declare.scores("attention_scores", layer, inner + "scores.output", *attention.scores, heads);
    declare.scores("attention_pattern", layer, inner + "pattern.output", *attention.pattern, heads);
    declare.value("mlp_input", layer, path + ".mlp.input", *block.mlp, width);
    declare.value("mlp_activation", layer, path + ".mlp.act.output", *block.mlp->act, options_.intermediate_size);
    declare.value("mlp_output", layer, path + ".mlp.output", *block.mlp, width);
  }
  declare.value("final_norm", -1, "transformer.ln_f.output", *transformer.ln_f, width, options_.num_layers);
  if (parts_->lm_head) declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.num_layers);
}

void GPTNeo::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(batch, past, {options_.vocab_size, options_.max_position_embeddings, options_.hidden_size, parts_->transformer->wte->weight.device()});
}

StageState GPTNeo::begin(const Batch& batch, KeyValueCache* cache) {
  check(batch, cache != nullptr ? cache->length() : 0);
  TransformerImpl& transformer = *parts_->transformer;
  StageState state = start_state(batch, cache);
  const torch::Tensor tokens =
      batch.input_ids.defined() ? transformer.wte(batch.input_ids) : batch.inputs_embeds.to(transformer.wte->weight.scalar_type());
  state.hidden = transformer.drop(tokens + transformer.wpe(state.position_ids));  // [batch, pos, hidden_size]
  return state;
}

StageState GPTNeo::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.num_layers);
  if (first == last) return state;
  const AttentionContext global = attention_context(state, first), local = attention_context(state, first, options_.window_size);
  for (std::int64_t layer = first; layer < last; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    state.hidden = parts_->transformer->h[index](state.hidden, options_.attention_layers[index] == "local" ? local : global);
  }
  return state;
}

Output GPTNeo::finish(const StageState& state, const torch::Tensor& positions) {
  TransformerImpl& transformer = *parts_->transformer;
  return finish_language_model(state, positions, transformer.ln_f, parts_->lm_head, transformer.wte->weight);
}

namespace {

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
  return std::make_shared<GPTNeo>(options);
}

}  // namespace

Family gpt_neo_family() { return {"gpt_neo", "transformer.", build_gpt_neo, {".attn.attention.bias", ".attn.attention.masked_bias"}}; }

}  // namespace vene::models
