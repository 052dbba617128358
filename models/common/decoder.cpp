// SPDX-License-Identifier: Apache-2.0
#include "models/common/decoder.h"

#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/finish.h"
#include "models/common/rotary.h"
#include "models/common/staged_site.h"

namespace vene::models {

struct Decoder::Assembled : DecoderParts {
  explicit Assembled(DecoderParts parts) : DecoderParts(std::move(parts)) {}

  std::shared_ptr<StagedSite> body = std::make_shared<StagedSite>();
  std::shared_ptr<RotarySite> rotary = std::make_shared<RotarySite>();
  HookPoint embedding, logits;  // the latter after the soft cap; used by a model with one only
  nn::OutputHead lm_head{nullptr};
  std::function<void(const std::string&)> warn = [](const std::string& warning) {
    std::fprintf(stderr, "vene: warning: %s\n", warning.c_str());
  };
  std::atomic_flag warned;
  std::vector<const HookSite*> tail;  // the last block's, the final norm's and the head's

  bool tail_is_watched() const {
    return std::any_of(tail.begin(), tail.end(), [](const HookSite* site) { return is_watched(*site); });
  }

  torch::Tensor table() const { return tokens.module()->named_parameters(/*recurse=*/false)["weight"]; }
};

void Decoder::assemble(DecoderParts parts) {
  parts_ = std::make_shared<Assembled>(std::move(parts));
  const DecoderNames& names = parts_->names;
  const auto body = register_module(names.body, parts_->body);
  body->register_module(names.tokens, parts_->tokens.module());
  if (parts_->positions) body->register_module(names.positions, parts_->positions);
  body->register_module(names.embedding, parts_->embedding);
  body->register_module(names.layers, torch::nn::ModuleList())->extend(parts_->blocks);
  body->register_module(names.norm, parts_->norm.module());
  if (parts_->turning.defined()) body->register_module("rotary_emb", parts_->rotary);
  if (parts_->head) {
    parts_->lm_head =
        register_module("lm_head", nn::OutputHead(parts_->sizes.width, parts_->sizes.vocabulary, parts_->tied_head));
    if (parts_->logit_cap > 0) register_module("logits", parts_->logits);
  }
  declare_sites();
  sites_.add_paths(*this);
  add_aliases();
  const auto note = [&](const torch::nn::Module& part) {
    for (const auto& module : part.modules()) {
      if (const auto* site = dynamic_cast<const HookSite*>(module.get())) parts_->tail.push_back(site);
    }
  };
  note(*parts_->blocks.back());
  note(*parts_->norm.module());
  parts_->tail.push_back(parts_->body.get());
  if (parts_->lm_head) {
    note(*parts_->lm_head);
    note(*parts_->logits);
  }
}

void Decoder::declare_sites() {
  const SiteDeclarer declare(sites_);
  const DecoderNames& names = parts_->names;
  const DecoderSizes& sizes = parts_->sizes;
  const auto modules = named_modules("", /*include_self=*/false);
  const auto place = [&](const std::string& path) -> const HookSite& {
    return dynamic_cast<const HookSite&>(*modules[path]);
  };
  const auto value = [&](const std::string& component, std::int64_t layer, const std::string& module,
                         const std::string& end, std::int64_t width, std::int64_t stage) {
    declare.value(component, layer, module + end, place(module), width, stage);
  };
  const auto heads = [&](const std::string& component, std::int64_t layer, const std::string& module,
                         const std::string& end, std::int64_t count, const std::optional<SitePart>& part = {}) {
    declare.heads(component, layer, module + end, place(module), count * sizes.head_width, count, part);
  };
  const std::string body = names.body + ".";
  value("embedding", -1, body + names.embedding, ".output", sizes.width, -1);
  for (std::int64_t layer = 0; layer < layer_count(); ++layer) {
    const std::string block = body + names.layers + "." + std::to_string(layer);
    const std::string attention = block + "." + names.attention, inside = block + "." + names.inside + ".",
                      mlp = block + ".mlp";
    value("block_input", layer, block, ".input", sizes.width, layer);
    value("block_output", layer, block, ".output", sizes.width, layer);
    value("attention_input", layer, attention, ".input", sizes.width, layer);
    value("attention_output", layer, attention, ".output", sizes.width, layer);
    heads("attention_value_output", layer, inside + names.mixed, ".input", sizes.heads);
    const auto part = [&](std::int64_t index) -> std::optional<SitePart> {
      if (names.fused.empty()) return std::nullopt;
      return SitePart{place(inside + names.fused).site_id(), Phase::kOutput, index, 3,
                      names.fused_by_head ? sizes.heads : 1};
    };
    heads("query_output", layer, inside + names.query, ".output", sizes.heads, part(0));
    heads("key_output", layer, inside + names.key, ".output", sizes.key_value_heads, part(1));
    heads("value_output", layer, inside + names.value, ".output", sizes.key_value_heads, part(2));
    declare.scores("attention_scores", layer, inside + "scores.output", place(inside + "scores"), sizes.heads);
    declare.scores("attention_pattern", layer, inside + "pattern.output", place(inside + "pattern"), sizes.heads);
    value("mlp_input", layer, mlp, ".input", sizes.width, layer);
    value("mlp_activation", layer, mlp + "." + names.activation, ".output", sizes.mlp_width, layer);
    value("mlp_output", layer, mlp, ".output", sizes.width, layer);
  }
  value("final_norm", -1, body + names.norm, ".output", sizes.width, layer_count());
  if (parts_->head)
    value("logits", -1, parts_->logit_cap > 0 ? "logits" : "lm_head", ".output", sizes.vocabulary, layer_count());
}

void Decoder::add_aliases() {
  const DecoderNames& names = parts_->names;
  if (!parts_->head) sites_.set_body(names.body);
  for (std::int64_t layer = 0; layer < layer_count() && !names.dropout.empty(); ++layer) {
    const std::string inside = names.body + "." + names.layers + "." + std::to_string(layer) + "." + names.inside + ".";
    for (const char* end : {".input", ".output"})
      sites_.add_alias(inside + names.dropout + end, inside + "pattern.output");
  }
}

std::int64_t Decoder::layer_count() const {
  return static_cast<std::int64_t>(parts_->blocks.size());
}
std::int64_t Decoder::hidden_size() const {
  return parts_->sizes.width;
}
std::int64_t Decoder::vocabulary_size() const {
  return parts_->sizes.vocabulary;
}
std::int64_t Decoder::context_length() const {
  return parts_->sizes.context;
}

void Decoder::check(const Batch& batch, std::int64_t past) const {
  const std::int64_t limit = bound_to_context() ? context_length() : 0;
  check_language_batch(batch, past, {vocabulary_size(), limit, hidden_size(), parts_->table().device()});
  const std::int64_t positions = past + batch.positions();
  if (limit == 0 && positions > context_length() && !parts_->warned.test_and_set()) {
    parts_->warn(std::to_string(positions) + " positions are more than the model's " +
                 std::to_string(context_length()) + " (max_position_embeddings): it was not made for them");
  }
}

bool Decoder::bound_to_context() const {
  return !parts_->turning.defined();
}
void Decoder::on_warning(std::function<void(const std::string&)> warn) {
  parts_->warn = std::move(warn);
}

StageState Decoder::begin(const Batch& batch, KeyValueCache* cache) {
  const TrustedBatches no_waiting;
  check(batch, cache != nullptr ? cache->length() : 0);
  StageState state = start_state(batch, cache);
  const torch::Tensor input = parts_->body->entered(batch.primary());
  torch::Tensor hidden = batch.input_ids.defined() ? embedded_tokens(input, vocabulary_size(), parts_->tokens)
                                                   : input.to(parts_->table().scalar_type());
  if (parts_->positions) hidden = hidden + parts_->positions(state.position_ids);
  state.hidden = parts_->embedding(hidden);  // [batch, pos, width]
  return state;
}

StageState Decoder::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, layer_count());
  if (first == last) return state;
  Angles angles;
  if (parts_->turning.defined()) {
    angles = rotary_angles(state.position_ids, parts_->turning.frequencies(state.position_ids),
                           parts_->rotary_in_float32 ? torch::kFloat32 : state.hidden.scalar_type(),
                           parts_->turning.attention_factor());
    angles = parts_->rotary->passed(state.hidden, std::move(angles));
  }
  const bool cut =
      last == layer_count() && state.wanted > 0 && state.wanted < state.hidden.size(1) && !parts_->tail_is_watched();
  using Kind = std::pair<std::int64_t, std::int64_t>;
  std::map<Kind, AttentionContext> contexts;  // by window, and by how many positions are wanted of the layer
  for (std::int64_t layer = first; layer < last; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    const std::int64_t window = parts_->windows.empty() ? 0 : parts_->windows[index];
    const std::int64_t wanted = cut && layer + 1 == last ? state.wanted : 0;
    const auto [context, fresh] = contexts.try_emplace(Kind(window, wanted));
    if (fresh) {
      context->second = attention_context(state, layer, window, wanted);
      context->second.angles = angles;
    }
    state.hidden = parts_->blocks[index]->forward(state.hidden, context->second);
  }
  return state;
}

Output Decoder::finish(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens) {
  return finish_language_model(state, positions, tokens, parts_->norm, parts_->lm_head, parts_->table(),
                               {parts_->body.get()}, parts_->logit_cap, parts_->logits);
}

}  // namespace vene::models
