// SPDX-License-Identifier: Apache-2.0
#include "vene/models/mlp.h"

#include <torch/nn/modules/container/modulelist.h>

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

class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(const MLPOptions& options)
      : ff1(torch::nn::LinearOptions(options.h_dim, options.h_dim).bias(options.include_bias)),
        act(options.activation_function) {
    register_module("ff1", ff1);
    register_module("act", act);
  }
  torch::Tensor forward(const torch::Tensor& hidden) { return act(ff1(hidden)); }  // [batch, pos, h_dim]

  nn::Linear ff1;
  nn::Activation act;
};
TORCH_MODULE_IMPL(Block, Hooked<BlockImpl>);

class BodyImpl : public StagedSite {
 public:
  explicit BodyImpl(const MLPOptions& options) {
    register_module("dropout", dropout);
    torch::nn::ModuleList list;
    for (std::int64_t layer = 0; layer < options.n_layer; ++layer) {
      h.emplace_back(options);
      list->push_back(h.back());
    }
    register_module("h", list);
  }
  HookPoint dropout;  // where pyvene drops out while training
  std::vector<Block> h;
};
TORCH_MODULE(Body);

const MLPOptions& checked(const MLPOptions& options) {
  if (options.h_dim <= 0 || options.n_layer <= 0 || options.num_classes <= 0) {
    throw ModelError("h_dim, n_layer and num_classes: expected positive numbers, got " + std::to_string(options.h_dim) +
                     ", " + std::to_string(options.n_layer) + " and " + std::to_string(options.num_classes));
  }
  return options;
}

}  // namespace

struct MLPClassifier::Parts {
  Body mlp;
  nn::Linear score;
};

MLPClassifier::MLPClassifier(const MLPOptions& options) : options_(checked(options)) {
  parts_ = std::make_shared<Parts>(
      Parts{Body(options_),
            nn::Linear(torch::nn::LinearOptions(options_.h_dim, options_.num_classes).bias(options_.include_bias))});
  register_module("mlp", parts_->mlp);
  register_module("score", parts_->score);
  const SiteDeclarer declare(sites_);
  declare.value("embedding", -1, "mlp.dropout.output", *parts_->mlp->dropout, options_.h_dim, -1);
  for (std::int64_t layer = 0; layer < options_.n_layer; ++layer) {
    const std::string path = "mlp.h." + std::to_string(layer);
    const Block& block = parts_->mlp->h[static_cast<std::size_t>(layer)];
    declare.value("block_input", layer, path + ".input", *block, options_.h_dim);
    declare.value("block_output", layer, path + ".output", *block, options_.h_dim);
    declare.value("mlp_activation", layer, path + ".act.output", *block->act, options_.h_dim);
  }
  declare.value("logits", -1, "score.output", *parts_->score, options_.num_classes, options_.n_layer);
  sites_.add_paths(*this);
}

void MLPClassifier::check(const Batch& batch, std::int64_t) const {
  if (batch.input_ids.defined())
    throw ModelError("this model takes inputs_embeds [batch, pos, " + std::to_string(options_.h_dim) +
                     "], not token ids");
  const torch::Tensor& input = batch.inputs_embeds;
  if (!input.defined())
    throw ModelError("inputs_embeds: expected [batch, pos, " + std::to_string(options_.h_dim) + "], got nothing");
  if (input.dim() != 3 || input.size(0) == 0 || input.size(2) != options_.h_dim) {
    throw ModelError("inputs_embeds: expected shape [batch, pos, " + std::to_string(options_.h_dim) + "], got " +
                     shape_text(input.sizes()));
  }
}

StageState MLPClassifier::begin(const Batch& batch, KeyValueCache*) {
  check(batch);
  StageState state;
  state.hidden = parts_->mlp->dropout(
      parts_->mlp->entered(batch.inputs_embeds).to(parts_->score->weight.scalar_type()));  // [batch, pos, h_dim]
  return state;
}

StageState MLPClassifier::run(StageState state, std::int64_t first, std::int64_t last) {
  check_stages(first, last, options_.n_layer);
  for (std::int64_t layer = first; layer < last; ++layer)
    state.hidden = parts_->mlp->h[static_cast<std::size_t>(layer)](state.hidden);
  return state;
}

Output MLPClassifier::finish(const StageState& state, const torch::Tensor& positions, const torch::Tensor& tokens) {
  Output output;
  output.last_hidden_state = select_positions(parts_->mlp->left(state.hidden), positions);
  output.logits = select_tokens(parts_->score(output.last_hidden_state), tokens);
  if (options_.squeeze_output) output.logits = output.logits.squeeze(1);
  return output;
}

namespace {

std::shared_ptr<Model> build_mlp(const ConfigReader& config, bool) {
  MLPOptions options;
  options.h_dim = config.integer("h_dim");
  options.n_layer = config.integer("n_layer");
  options.num_classes = config.integer("num_classes", options.num_classes);
  options.include_bias = config.boolean("include_bias", true);
  options.squeeze_output = config.boolean("squeeze_output", true);
  options.activation_function = config.text("activation_function", options.activation_function);
  if (config.boolean("include_emb", false))
    throw ModelError(config.where() + ": an MLP with embeddings (include_emb) is not supported");
  return std::make_shared<MLPClassifier>(options);
}

}  // namespace

Family mlp_family() {
  return {"mlp", "", build_mlp, {}};
}

}  // namespace vene::models
