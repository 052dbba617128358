// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gpt2.h"

#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

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
    const torch::Tensor mixed = attend(split_heads(query, heads_), keys, values, scale_, context.mask, scores, pattern);
    return resid_dropout(c_proj(merge_heads(mixed)));  // [batch, pos, n_embd]
  }

  nn::Conv1D c_attn, c_proj;
  HookPoint query_output, key_output, value_output, scores, pattern, resid_dropout;

 private:
  std::int64_t layer_, heads_;
  double scale_;
};
TORCH_MODULE_IMPL(Attention, Hooked<AttentionImpl>);

class MLPImpl : public torch::nn::Module {
 public:
  MLPImpl(const GPT2Options& options, std::int64_t inner)
      : c_fc(options.n_embd, inner), c_proj(inner, options.n_embd), act(options.activation_function) {
    register_module("c_fc", c_fc);
    register_module("c_proj", c_proj);
    register_module("act", act);
    register_module("dropout", dropout);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return dropout(c_proj(act(c_fc(hidden)))); }

  nn::Conv1D c_fc, c_proj;
  nn::Activation act;
  HookPoint dropout;
};
TORCH_MODULE_IMPL(MLP, Hooked<MLPImpl>);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(const GPT2Options& options, std::int64_t layer, std::int64_t inner)
      : ln_1(norm_options(options)), attn(options, layer), ln_2(norm_options(options)), mlp(options, inner) {
    register_module("ln_1", ln_1);
    register_module("attn", attn);
    register_module("ln_2", ln_2);
    register_module("mlp", mlp);
  }
  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    const torch::Tensor middle = hidden + attn(ln_1(hidden), context);
    return middle + mlp(ln_2(middle));  // [batch, pos, n_embd]
  }

  nn::LayerNorm ln_1;
  Attention attn;
  nn::LayerNorm ln_2;
  MLP mlp;
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

class TransformerImpl : public torch::nn::Module {
 public:
  TransformerImpl(const GPT2Options& options, std::int64_t inner)
      : wte(nn::embedding_options(options.vocab_size, options.n_embd)),
        wpe(nn::embedding_options(options.n_positions, options.n_embd)),
        ln_f(norm_options(options)) {
    register_module("wte", wte);
    register_module("wpe", wpe);
    register_module("drop", drop);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.n_layer; ++layer) {
      h.emplace_back(options, layer, inner);
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

GPT2Options checked(GPT2Options options) {
  auto positive = [](const char* name, std::int64_t value) {
    if (value <= 0) throw ModelError(std::string(name) + ": expected a positive number, got " + std::to_string(value));
  };
  positive("vocab_size", options.vocab_size);
  positive("n_positions", options.n_positions);
  positive("n_embd", options.n_embd);
  positive("n_layer", options.n_layer);
  positive("n_head", options.n_head);
  check_multiple({"n_embd", options.n_embd}, {"n_head", options.n_head});
  if (options.n_inner == 0) options.n_inner = 4 * options.n_embd;
  positive("n_inner", options.n_inner);
  return options;
}

}  // namespace

struct GPT2::Parts {
  Transformer transformer;
  nn::OutputHead lm_head{nullptr};
};

GPT2::GPT2(const GPT2Options& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Transformer(options_, options_.n_inner)});
  register_module("transformer", parts_->transformer);
  if (options_.language_model_head) {
    parts_->lm_head = nn::OutputHead(options_.n_embd, options_.vocab_size, options_.tie_word_embeddings);
    register_module("lm_head", parts_->lm_head);
  }
  declare_sites();
  sites_.add_paths(*this);
}

void GPT2::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.n_embd, heads = options_.n_head;
  TransformerImpl& transformer = *parts_->transformer;
  declare.value("embedding", -1, "transformer.drop.output", *transformer.drop, width, -1);
  for (std::int64_t layer = 0; layer < options_.n_layer; ++layer) {
    const std::string path = "transformer.h." + std::to_string(layer);
    BlockImpl& block = *transformer.h[static_cast<std::size_t>(layer)];
    const HookSite& whole = *transformer.h[static_cast<std::size_t>(layer)];
    AttentionImpl& attention = *block.attn;
    declare.value("block_input", layer, path + ".input", whole, width);
    declare.value("block_output", layer, path + ".output", whole, width);
    declare.value("attention_input", layer, path + ".attn.input", *block.attn, width);
    declare.value("attention_output", layer, path + ".attn.output", *block.attn, width);
    declare.heads("attention_value_output", layer, path + ".attn.c_proj.input", *attention.c_proj, width, heads);
    declare.heads("query_output", layer, path + ".attn.query.output", *attention.query_output, width, heads);
    declare.heads("key_output", layer, path + ".attn.key.output", *attention.key_output, width, heads);
    declare.heads("value_output", layer, path + ".attn.value.output", *attention.value_output, width, heads);
    declare.scores("attention_scores", layer, path + ".attn.scores.output", *attention.scores, heads);
    declare.scores("attention_pattern", layer, path + ".attn.pattern.output", *attention.pattern, heads);
    declare.value("mlp_input", layer, path + ".mlp.input", *block.mlp, width);
    declare.value("mlp_activation", layer, path + ".mlp.act.output", *block.mlp->act, options_.n_inner);
    declare.value("mlp_output", layer, path + ".mlp.output", *block.mlp, width);
  }
  declare.value("final_norm", -1, "transformer.ln_f.output", *transformer.ln_f, width, options_.n_layer);
  if (parts_->lm_head) {
    declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.n_layer);
  }
}

void GPT2::check(const Batch& batch, std::int64_t past) const {
  check_language_batch(
      batch, past,
      {options_.vocab_size, options_.n_positions, options_.n_embd, parts_->transformer->wte->weight.device()});
}

StageState GPT2::begin(const Batch& batch, KeyValueCache* cache) {
  check(batch, cache != nullptr ? cache->length() : 0);
  TransformerImpl& transformer = *parts_->transformer;
  StageState state = start_state(batch, cache);
  const torch::Tensor tokens = batch.input_ids.defined()
                                   ? transformer.wte(batch.input_ids)
                                   : batch.inputs_embeds.to(transformer.wte->weight.scalar_type());
  state.hidden = transformer.drop(tokens + transformer.wpe(state.position_ids));  // [batch, pos, n_embd]
  return state;
}

StageState GPT2::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.n_layer);
  if (first == last) return state;
  const AttentionContext context = attention_context(state, first);
  for (std::int64_t layer = first; layer < last; ++layer) {
    state.hidden = parts_->transformer->h[static_cast<std::size_t>(layer)](state.hidden, context);
  }
  return state;
}

Output GPT2::finish(const StageState& state, const torch::Tensor& positions) {
  TransformerImpl& transformer = *parts_->transformer;
  return finish_language_model(state, positions, transformer.ln_f, parts_->lm_head, transformer.wte->weight);
}

namespace {

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

Family gpt2_family() { return {"gpt2", "transformer.", build_gpt2, {".attn.bias", ".attn.masked_bias"}}; }

}  // namespace vene::models
