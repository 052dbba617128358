// SPDX-License-Identifier: Apache-2.0
// A small staged model whose every value can be written down by hand: embeddings, then blocks x + W tanh(heads(Vx)).
#pragma once
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"
#include "vene/models/model.h"

namespace vene_test {

using torch::Tensor;

struct ToyBlockImpl : torch::nn::Module {
  ToyBlockImpl(std::int64_t width) {
    into = register_module("into", torch::nn::Linear(width, width));
    out = register_module("out", torch::nn::Linear(width, width));
    inner = register_module("inner", vene::HookPoint());
    mlp_output = register_module("mlp_output", vene::HookPoint());
  }
  Tensor forward(const Tensor& x) {
    Tensor h = inner(torch::tanh(into(x)));  // [batch, pos, width], in heads
    h = h + 0.1 * torch::cumsum(h, 1);       // positions see the ones before them
    return x + mlp_output(out(h));
  }
  torch::nn::Linear into{nullptr}, out{nullptr};
  vene::HookPoint inner, mlp_output;
};

class ToyModel : public vene::models::StagedModel {
 public:
  static constexpr std::int64_t kWidth = 6, kHeads = 3, kLayers = 3, kVocabulary = 11;

  static std::shared_ptr<ToyModel> make(std::int64_t seed = 7) {
    torch::manual_seed(seed);
    auto model = std::make_shared<ToyModel>();
    for (auto& parameter : model->parameters()) parameter.set_requires_grad(false);
    return model;
  }
  ToyModel() {
    using vene::Axis;
    using vene::Phase;
    wte = register_module("wte", torch::nn::Embedding(kVocabulary, kWidth));
    embedding = register_module("embedding", vene::HookPoint());
    for (std::int64_t l = 0; l < kLayers; ++l) {
      blocks.push_back(
          register_module("block_" + std::to_string(l), std::make_shared<vene::Hooked<ToyBlockImpl>>(kWidth)));
    }
    head = register_module(
        "head", std::make_shared<vene::Hooked<torch::nn::LinearImpl>>(torch::nn::LinearOptions(kWidth, kVocabulary)));
    const std::vector<Axis> plain{Axis::kBatch, Axis::kPos, Axis::kFeature},
        heads{Axis::kBatch, Axis::kPos, Axis::kHead, Axis::kFeature};
    sites_.add(
        {"embedding", -1, "embedding.output", embedding->site_id(), Phase::kOutput, plain, kWidth, 0, false, -1});
    for (std::int64_t l = 0; l < kLayers; ++l) {
      const std::string path = "block_" + std::to_string(l);
      sites_.add({"block_input", l, path + ".input", blocks[l]->site_id(), Phase::kInput, plain, kWidth, 0, false, l});
      sites_.add(
          {"block_output", l, path + ".output", blocks[l]->site_id(), Phase::kOutput, plain, kWidth, 0, false, l});
      sites_.add({"inner", l, path + ".inner.output", blocks[l]->inner->site_id(), Phase::kOutput, plain, kWidth, 0,
                  false, l});
      sites_.add({"head_inner", l, path + ".inner.output", blocks[l]->inner->site_id(), Phase::kOutput, heads,
                  kWidth / kHeads, kHeads, true, l});
      sites_.add({"mlp_output", l, path + ".mlp_output.output", blocks[l]->mlp_output->site_id(), Phase::kOutput, plain,
                  kWidth, 0, false, l});
    }
    sites_.add({"logits",
                -1,
                "head.output",
                head->site_id(),
                Phase::kOutput,
                {Axis::kBatch, Axis::kPos, Axis::kFeature},
                kVocabulary,
                0,
                false,
                kLayers});
  }
  vene::models::StageState begin(const vene::models::Batch& batch, vene::models::KeyValueCache* = nullptr) override {
    ++begun;
    vene::models::StageState state;
    state.hidden = embedding(batch.inputs_embeds.defined() ? batch.inputs_embeds : wte(batch.input_ids));
    return state;
  }
  vene::models::StageState run(vene::models::StageState state, std::int64_t first, std::int64_t last) override {
    for (std::int64_t l = first; l < last; ++l) {
      ++blocks_run;
      state.hidden = blocks[l]->forward(state.hidden);
    }
    return state;
  }
  vene::models::Output finish(const vene::models::StageState& state, const Tensor& positions = {},
                              const Tensor& tokens = {}) override {
    Tensor hidden = state.hidden;
    if (positions.defined())
      hidden = positions.dim() == 2 ? hidden.gather(1, positions.unsqueeze(-1).expand({-1, -1, kWidth}))
                                    : hidden.index_select(1, positions);
    return {tokens.defined() ? head->forward(hidden).index_select(-1, tokens) : head->forward(hidden), hidden, {}};
  }
  std::int64_t layer_count() const override { return kLayers; }
  std::int64_t hidden_size() const override { return kWidth; }
  std::int64_t vocabulary_size() const override { return kVocabulary; }
  std::string architecture() const override { return "toy"; }

  torch::nn::Embedding wte{nullptr};
  vene::HookPoint embedding;
  std::vector<std::shared_ptr<vene::Hooked<ToyBlockImpl>>> blocks;
  std::shared_ptr<vene::Hooked<torch::nn::LinearImpl>> head;
  std::atomic<int> begun{0}, blocks_run{0};
};

// A copy with some places replaced.
inline Tensor put(const Tensor& value, const std::vector<torch::indexing::TensorIndex>& places,
                  const Tensor& replacement) {
  Tensor copy = value.clone();
  copy.index_put_(places, replacement);
  return copy;
}
inline Tensor put(const Tensor& value, const std::vector<torch::indexing::TensorIndex>& places, double replacement) {
  return put(value, places, torch::full({}, replacement, value.options()));
}

inline vene::models::Batch ids(const std::vector<std::vector<std::int64_t>>& rows) {
  std::vector<Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(torch::tensor(row, torch::kInt64));
  return {torch::stack(tensors), {}, {}, {}};
}

// The model's values written out by hand, with an edit of some of them: edit(layer, "inner" | "mlp_output" |
// "block_output" | "block_input", value).
using Edit = std::function<Tensor(std::int64_t, const std::string&, Tensor)>;
inline Tensor by_hand(
    ToyModel& model, const vene::models::Batch& batch,
    const Edit& edit = [](std::int64_t, const std::string&, Tensor v) { return v; }) {
  const vene::HooksDisabled undisturbed;
  Tensor x = edit(-1, "embedding", model.wte(batch.input_ids));
  for (std::int64_t l = 0; l < ToyModel::kLayers; ++l) {
    auto& block = *model.blocks[l];
    x = edit(l, "block_input", x);
    Tensor h = edit(l, "inner", torch::tanh(block.into(x)));
    h = h + 0.1 * torch::cumsum(h, 1);
    x = edit(l, "block_output", x + edit(l, "mlp_output", block.out(h)));
  }
  return model.head->forward(x);
}

}  // namespace vene_test
