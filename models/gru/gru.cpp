// SPDX-License-Identifier: Apache-2.0
#include "vene/models/gru.h"

#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>

#include "models/common/checks.h"
#include "models/common/declare.h"
#include "models/common/staged_site.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace vene::models {
namespace {

class CellImpl : public torch::nn::Module {
 public:
  explicit CellImpl(const GRUOptions& options)
      : x2h(torch::nn::LinearOptions(options.h_dim, 3 * options.h_dim).bias(options.include_bias)),
        h2h(torch::nn::LinearOptions(options.h_dim, 3 * options.h_dim).bias(options.include_bias)),
        reset_act("sigmoid"),
        update_act("sigmoid"),
        new_act("tanh") {
    register_module("x2h", x2h);
    register_module("h2h", h2h);
    register_module("reset_x2h", reset_x2h);
    register_module("update_x2h", update_x2h);
    register_module("new_x2h", new_x2h);
    register_module("reset_h2h", reset_h2h);
    register_module("update_h2h", update_h2h);
    register_module("new_h2h", new_h2h);
    register_module("reset_act", reset_act);
    register_module("update_act", update_act);
    register_module("new_act", new_act);
  }

  // input, hidden: [batch, h_dim] -> the next hidden state [batch, h_dim]
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& hidden) {
    const std::vector<torch::Tensor> x = x2h(input).chunk(3, 1);   // [batch, h_dim] each
    const std::vector<torch::Tensor> h = h2h(hidden).chunk(3, 1);  // [batch, h_dim] each
    const torch::Tensor reset = reset_act(reset_x2h(x[0]) + reset_h2h(h[0]));
    const torch::Tensor update = update_act(update_x2h(x[1]) + update_h2h(h[1]));
    const torch::Tensor fresh = new_act(new_x2h(x[2]) + reset * new_h2h(h[2]));
    return update * hidden + (1 - update) * fresh;
  }

  nn::Linear x2h, h2h;
  HookPoint reset_x2h, update_x2h, new_x2h, reset_h2h, update_h2h, new_h2h;
  nn::Activation reset_act, update_act, new_act;
};
TORCH_MODULE_IMPL(Cell, Hooked<CellImpl>);

class BodyImpl : public StagedSite {
 public:
  explicit BodyImpl(const GRUOptions& options) {
    if (options.include_emb) {
      wte = register_module("wte", nn::Embedding(nn::embedding_options(options.vocab_size, options.h_dim)));
      wpe =
          register_module("wpe", nn::Embedding(nn::embedding_options(options.max_position_embeddings, options.h_dim)));
    }
    register_module("embedding", embedding);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.n_layer; ++layer) {
      cells.emplace_back(options);
      list->push_back(cells.back());
    }
    register_module("cells", list);
  }
  nn::Embedding wte{nullptr}, wpe{nullptr};
  HookPoint embedding;
  std::vector<Cell> cells;
};
TORCH_MODULE(Body);

const GRUOptions& checked(const GRUOptions& options) {
  check_positive({{"h_dim", options.h_dim},
                  {"n_layer", options.n_layer},
                  {"n_labels", options.n_labels},
                  {"vocab_size", options.vocab_size},
                  {"max_position_embeddings", options.max_position_embeddings}});
  if (options.tie_word_embeddings && options.head == GRUHead::kLanguageModel && !options.include_emb) {
    throw ModelError("tie_word_embeddings: the model has no embeddings (include_emb is false) to tie the head to");
  }
  return options;
}

}  // namespace

struct GRU::Parts {
  Body gru;
  nn::Linear score{nullptr};
  nn::OutputHead lm_head{nullptr};
};

GRU::GRU(const GRUOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(Parts{Body(options_)});
  register_module("gru", parts_->gru);
  if (options_.head == GRUHead::kClassifier) {
    parts_->score =
        register_module("score", nn::Linear(torch::nn::LinearOptions(options_.h_dim, options_.n_labels).bias(false)));
  } else if (options_.head == GRUHead::kLanguageModel) {
    parts_->lm_head =
        register_module("lm_head", nn::OutputHead(options_.h_dim, options_.vocab_size, options_.tie_word_embeddings));
  }
  declare_sites();
  sites_.add_paths(*this);
  if (options_.head == GRUHead::kNone) sites_.set_body("gru");
}

void GRU::declare_sites() {
  const SiteDeclarer declare(sites_);
  const std::int64_t width = options_.h_dim;
  declare.value("embedding", -1, "gru.embedding.output", *parts_->gru->embedding, width, -1);
  for (std::int64_t layer = 0; layer < options_.n_layer; ++layer) {
    const std::string path = "gru.cells." + std::to_string(layer);
    const HookSite& whole = *parts_->gru->cells[static_cast<std::size_t>(layer)];
    const CellImpl& cell = *parts_->gru->cells[static_cast<std::size_t>(layer)];
    const auto third = [](const HookSite& joined, std::int64_t index) {
      return SitePart{joined.site_id(), Phase::kOutput, index, 3, 1};
    };
    declare.step("cell_input", layer, path + ".input", whole, width);
    declare.step("cell_output", layer, path + ".output", whole, width);
    declare.step("x2h_output", layer, path + ".x2h.output", *cell.x2h, 3 * width);
    declare.step("h2h_output", layer, path + ".h2h.output", *cell.h2h, 3 * width);
    declare.step("reset_x2h_output", layer, path + ".reset_x2h.output", *cell.reset_x2h, width, third(*cell.x2h, 0));
    declare.step("update_x2h_output", layer, path + ".update_x2h.output", *cell.update_x2h, width, third(*cell.x2h, 1));
    declare.step("new_x2h_output", layer, path + ".new_x2h.output", *cell.new_x2h, width, third(*cell.x2h, 2));
    declare.step("reset_h2h_output", layer, path + ".reset_h2h.output", *cell.reset_h2h, width, third(*cell.h2h, 0));
    declare.step("update_h2h_output", layer, path + ".update_h2h.output", *cell.update_h2h, width, third(*cell.h2h, 1));
    declare.step("new_h2h_output", layer, path + ".new_h2h.output", *cell.new_h2h, width, third(*cell.h2h, 2));
    declare.step("reset_gate_input", layer, path + ".reset_act.input", *cell.reset_act, width);
    declare.step("reset_gate_output", layer, path + ".reset_act.output", *cell.reset_act, width);
    declare.step("update_gate_input", layer, path + ".update_act.input", *cell.update_act, width);
    declare.step("update_gate_output", layer, path + ".update_act.output", *cell.update_act, width);
    declare.step("new_gate_input", layer, path + ".new_act.input", *cell.new_act, width);
    declare.step("new_gate_output", layer, path + ".new_act.output", *cell.new_act, width);
  }
  if (parts_->score) declare.row("logits", "score.output", *parts_->score, options_.n_labels, options_.n_layer);
  if (parts_->lm_head)
    declare.value("logits", -1, "lm_head.output", *parts_->lm_head, options_.vocab_size, options_.n_layer);
}

void GRU::check(const Batch& batch, std::int64_t past) const {
  if (!options_.include_emb && batch.input_ids.defined()) {
    throw ModelError("this model has no embeddings: it takes inputs_embeds [batch, pos, " +
                     std::to_string(options_.h_dim) + "], not token ids");
  }
  check_language_batch(batch, past, {options_.vocab_size, 0, options_.h_dim, device()});
  if (batch.extra.empty()) return;
  const torch::Tensor& positions = batch.extra[0];
  if (!options_.include_emb)
    throw ModelError("extra: position ids are given, but this model has no position embeddings");
  if (batch.extra.size() > 1 || positions.scalar_type() != torch::kInt64 || positions.dim() != 2 ||
      positions.size(1) != batch.positions() || (positions.size(0) != 1 && positions.size(0) != batch.rows())) {
    throw ModelError("extra: expected position ids [batch, pos] (int64) and nothing else, got " +
                     std::to_string(batch.extra.size()) + " tensors, the first of shape " +
                     shape_text(positions.sizes()));
  }
  if (may_look_at(positions) &&
      positions.lt(0).logical_or_(positions.ge(options_.max_position_embeddings)).any().item<bool>()) {
    throw ModelError("extra: position ids go from 0 to " + std::to_string(options_.max_position_embeddings - 1));
  }
}

StageState GRU::begin(const Batch& batch, KeyValueCache* cache) {
  const TrustedBatches no_waiting;
  check(batch, cache != nullptr ? cache->length() : 0);
  BodyImpl& body = *parts_->gru;
  StageState state = start_state(batch, cache);
  const torch::Tensor input = body.entered(batch.primary());
  torch::Tensor hidden =
      batch.input_ids.defined() ? embedded_tokens(input, options_.vocab_size, body.wte) : input.to(dtype());
  if (!batch.extra.empty())
    hidden = hidden + embedded_tokens(batch.extra[0], options_.max_position_embeddings, body.wpe);
  state.hidden = body.embedding(hidden);  // [batch, pos, h_dim]
  return state;
}

namespace {

// Of all that was read, the next step needs the last state alone. It stands for every step, without taking their room,
// since a cache's length is that of its entries.
void hold(KeyValueCache& cache, std::int64_t layer, const torch::Tensor& last, std::int64_t steps) {
  const auto place = static_cast<std::size_t>(layer);
  if (cache.layers.size() <= place) cache.layers.resize(place + 1);
  auto& [keys, values] = cache.layers[place];
  const std::int64_t before = keys.defined() ? keys.size(2) : 0;
  keys = last.clone().reshape({last.size(0), 1, 1, last.size(1)}).expand({-1, -1, before + steps, -1});
  values = keys;
}

}  // namespace

StageState GRU::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.n_layer);
  const std::int64_t rows = state.hidden.size(0), steps = state.hidden.size(1);
  std::vector<torch::Tensor> real;  // [batch, 1], one a step: whether the row has a token there
  if (state.attention_mask.defined()) {
    const torch::Tensor& mask = state.attention_mask;
    real = mask.to(torch::kBool).narrow(1, mask.size(1) - steps, steps).unsqueeze(-1).unbind(1);
  }
  for (std::int64_t layer = first; layer < last; ++layer) {
    torch::Tensor hidden;
    if (state.cache != nullptr && static_cast<std::size_t>(layer) < state.cache->layers.size()) {
      const torch::Tensor& held = state.cache->layers[static_cast<std::size_t>(layer)].first;
      if (held.defined() && held.size(2) > 0) hidden = held.select(2, held.size(2) - 1).select(1, 0);
    }
    if (!hidden.defined()) hidden = torch::zeros({rows, options_.h_dim}, state.hidden.options().requires_grad(false));
    std::vector<torch::Tensor> states;
    states.reserve(static_cast<std::size_t>(steps));
    for (const torch::Tensor& input : state.hidden.unbind(1)) {
      torch::Tensor next = parts_->gru->cells[static_cast<std::size_t>(layer)](input, hidden);
      hidden = real.empty() ? next : torch::where(real[states.size()], next, hidden);
      states.push_back(hidden);
    }
    state.hidden = torch::stack(states, 1);  // [batch, pos, h_dim]
    if (state.cache != nullptr) hold(*state.cache, layer, hidden, steps);
  }
  return state;
}

Output GRU::finish(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens) {
  Output output;
  const torch::Tensor hidden = parts_->gru->left(state.hidden);
  output.last_hidden_state = select_positions(hidden, positions);
  if (parts_->score) {
    // A padded step keeps the state, so the last column holds the state at each row's last token.
    output.logits = parts_->score(hidden.select(1, -1));  // [batch, n_labels]
  } else if (parts_->lm_head) {
    const torch::Tensor embedding = parts_->gru->wte ? parts_->gru->wte->weight : torch::Tensor();
    const bool everywhere = is_watched(*parts_->lm_head);
    output.logits =
        parts_->lm_head(everywhere ? hidden : output.last_hidden_state, embedding);  // [batch, pos, vocabulary]
    if (everywhere) output.logits = select_positions(output.logits, positions);
  }
  if (output.logits.defined()) output.logits = select_tokens(output.logits, tokens);
  return output;
}

namespace {

std::shared_ptr<Model> build_gru(const ConfigReader& config, bool) {
  GRUOptions options;
  options.h_dim = config.integer("h_dim");
  options.n_layer = config.integer("n_layer");
  options.n_labels = config.integer("n_labels", options.n_labels);
  options.include_bias = config.boolean("include_bias", true);
  options.include_emb = config.boolean("include_emb", false);
  options.vocab_size = config.integer("vocab_size", options.vocab_size);
  options.max_position_embeddings = config.integer("max_position_embeddings", options.max_position_embeddings);
  options.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  const std::vector<std::string> names{"GRUModel", "GRUForClassification", "GRULMHeadModel"},
      given = config.texts("architectures");
  const auto found = given.size() == 1 ? std::find(names.begin(), names.end(), given[0]) : names.end();
  if (found == names.end()) {
    throw ModelError(config.where() + ": architectures: expected one of " + join(names) + ", got " +
                     (given.empty() ? "nothing" : join(given)));
  }
  options.head = static_cast<GRUHead>(found - names.begin());
  return std::make_shared<GRU>(options);
}

}  // namespace

Family gru_family() {
  return {"gru", "gru.", build_gru, {}};
}

}  // namespace vene::models
