// SPDX-License-Identifier: Apache-2.0
// Interventions end to end on models that take no tokens: the MLP classifier, and a module of one's own.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"
#include "vene/models/adapt.h"
#include "vene/models/load.h"

namespace {

using testing::HasSubstr;
using torch::Tensor;
using vene::models::Batch;

Batch vectors(std::vector<Tensor> tensors) {
  Batch batch;
  batch.inputs_embeds = tensors.at(0);
  batch.extra.assign(tensors.begin() + 1, tensors.end());
  return batch;
}

void expect_close(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-6);
}

TEST(MlpClassifier, FollowsAnInterchangeOfSomeUnitsOfABlock) {
  const auto model = vene::models::load(std::string(VENE_SOURCE_DIR) + "/tests/golden/models/mlp_classifier").model;
  torch::manual_seed(1);
  const Batch base = vectors({torch::randn({3, 1, 12})}), source = vectors({torch::randn({3, 1, 12})});
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 0, "component": "block_output", "subspace_partition": [[0, 5], [5, 12]]}])"), model);
  const auto result = patched->forward({.base = base, .sources = {source}, .locations = vene::at(0), .subspaces = {vene::SubspaceIds{{{1}}}}, .original = true});
  // The same by hand, from the parameters.
  const auto weights = model->named_parameters();
  const auto block = [&](const Tensor& x, const std::string& name) { return torch::gelu(torch::linear(x, weights[name + ".ff1.weight"], weights[name + ".ff1.bias"])); };
  const Tensor first = torch::cat({block(base.inputs_embeds, "mlp.h.0").slice(2, 0, 5), block(source.inputs_embeds, "mlp.h.0").slice(2, 5)}, 2);
  expect_close(result.intervened.logits, torch::linear(block(first, "mlp.h.1"), weights["score.weight"], weights["score.bias"]).squeeze(1));
  expect_close(result.original->logits, model->forward(base).logits);
}

struct PartImpl : torch::nn::Module {
  Tensor forward(const Tensor& x) { return x * 3; }
};

struct TwoInputsImpl : torch::nn::Module {
  TwoInputsImpl() {
    part = register_module("part", std::make_shared<vene::Hooked<PartImpl>>());
    sum = register_module("sum", vene::HookPoint());
  }
  std::tuple<Tensor, Tensor> forward(const Tensor& a, const Tensor& b) {
    const Tensor value = sum(part->forward(a) + b);
    return {value.square(), value};
  }
  std::shared_ptr<vene::Hooked<PartImpl>> part;
  vene::HookPoint sum;
};

TEST(AdaptedModule, OfTwoTensorsAndATupleFollowsInterchangesAndCollects) {
  const auto model = vene::models::adapt(std::make_shared<TwoInputsImpl>());
  const Tensor a = torch::randn({2, 4, 3}), b = torch::randn({2, 4, 3}), other = torch::randn({2, 4, 3});
  vene::IntervenableModel patched(
      vene::IntervenableConfig::parse(R"([{"component": "part.output"}, {"component": "sum.output", "intervention_type": "collect"}])"), model);
  const auto result = patched->forward({.base = vectors({a, b}), .sources = {vectors({other, b}), std::nullopt}, .locations = vene::at(2)});
  Tensor value = a * 3 + b;
  value.select(1, 2).copy_(other.select(1, 2) * 3 + b.select(1, 2));
  expect_close(result.intervened.logits, value.square());
  ASSERT_EQ(result.intervened.extra.size(), 1U);
  expect_close(result.intervened.extra[0], value);
  ASSERT_EQ(result.collected.size(), 1U);
  expect_close(result.collected[0].value, value.slice(1, 2, 3));
}

TEST(AdaptedModule, NamesAPathThatIsNotThere) {
  const auto model = vene::models::adapt(std::make_shared<TwoInputsImpl>());
  try {
    vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"component": "prat.output"}])"), model);
    FAIL() << "expected an error";
  } catch (const vene::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no site at path 'prat.output'; did you mean 'part.output'"));
  }
}

}  // namespace
