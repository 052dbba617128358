// SPDX-License-Identifier: Apache-2.0
// Interventions end to end on the MLP classifier, an encoder, and a module of one's own.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/places.h"
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
  const auto model =
      vene::models::load(std::string(vene_test::kSourceFolder) + "/tests/golden/models/mlp_classifier").model;
  torch::manual_seed(1);
  const Batch base = vectors({torch::randn({3, 1, 12})}), source = vectors({torch::randn({3, 1, 12})});
  vene::IntervenableModel patched(
      vene::IntervenableConfig::parse(
          R"([{"layer": 0, "component": "block_output", "subspace_partition": [[0, 5], [5, 12]]}])"),
      model);
  const auto result = patched->forward({.base = base,
                                        .sources = {source},
                                        .locations = vene::at(0),
                                        .subspaces = {vene::SubspaceIds{{{1}}}},
                                        .original = true});
  // The same by hand, from the parameters.
  const auto weights = model->named_parameters();
  const auto block = [&](const Tensor& x, const std::string& name) {
    return torch::gelu(torch::linear(x, weights[name + ".ff1.weight"], weights[name + ".ff1.bias"]));
  };
  const Tensor first = torch::cat(
      {block(base.inputs_embeds, "mlp.h.0").slice(2, 0, 5), block(source.inputs_embeds, "mlp.h.0").slice(2, 5)}, 2);
  expect_close(result.intervened.logits,
               torch::linear(block(first, "mlp.h.1"), weights["score.weight"], weights["score.bias"]).squeeze(1));
  expect_close(result.original->logits, model->forward(base).logits);
}

// An encoder's positions all see what is written at one of them; padding on either side changes nothing.
class Encoder : public testing::TestWithParam<std::string> {};

TEST_P(Encoder, FollowsAnInterchangeAtAPositionOfEveryRow) {
  const auto model =
      vene::models::load(std::string(vene_test::kSourceFolder) + "/tests/golden/models/" + GetParam()).model;
  const torch::NoGradGuard no_grad;
  const auto rows = [](std::vector<std::int64_t> first, std::vector<std::int64_t> second,
                       std::vector<std::int64_t> mask) {
    Batch batch;
    batch.input_ids = torch::stack({torch::tensor(first), torch::tensor(second)});
    batch.attention_mask = torch::stack({torch::ones({5}, torch::kInt64), torch::tensor(mask)});
    return batch;
  };
  const Batch left = rows({5, 9, 31, 2, 44}, {0, 0, 8, 3, 27}, {0, 0, 1, 1, 1}),
              right = rows({5, 9, 31, 2, 44}, {8, 3, 27, 0, 0}, {1, 1, 1, 0, 0});
  const Batch source = rows({50, 1, 12, 33, 6}, {7, 7, 40, 21, 19}, {1, 1, 1, 1, 1});
  vene::IntervenableModel patched(vene::IntervenableConfig::parse(R"([{"layer": 0, "component": "block_output"}])"),
                                  model);
  const auto where = vene::from(vene::at(2), vene::at(1));
  const Tensor padded_left =
      patched->forward({.base = left, .sources = {source}, .locations = where}).intervened.logits;
  const Tensor padded_right =
      patched->forward({.base = right, .sources = {source}, .locations = where}).intervened.logits;
  // By hand: each row alone, through the model's stages, with the source's value at its second position.
  auto& staged = dynamic_cast<vene::models::StagedModel&>(*model);
  const auto after_first = [&](const Tensor& ids) {
    Batch one;
    one.input_ids = ids.unsqueeze(0);
    return staged.run(staged.begin(one), 0, 1);
  };
  for (const std::int64_t row : {0, 1}) {
    vene::models::StageState state = after_first(row == 0 ? left.input_ids[0] : left.input_ids[1].slice(0, 2));
    const Tensor plain = staged.finish(staged.run(state, 1, model->layer_count())).logits[0];
    state.hidden = state.hidden.clone();
    state.hidden[0][1].copy_(after_first(source.input_ids[row]).hidden[0][2]);
    const Tensor expected = staged.finish(staged.run(state, 1, model->layer_count())).logits[0];
    const std::int64_t length = expected.size(0);
    EXPECT_LE((padded_left[row].slice(0, 5 - length) - expected).abs().max().item<double>(), 1e-5);
    EXPECT_LE((padded_right[row].slice(0, 0, length) - expected).abs().max().item<double>(), 1e-5);
    EXPECT_GT((expected[0] - plain[0]).abs().max().item<double>(), 1e-2) << "a position before the write sees it";
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, Encoder, testing::Values("bert_tied", "esm_rotary", "esm_absolute"),
                         [](const auto& info) { return info.param; });

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
      vene::IntervenableConfig::parse(
          R"([{"component": "part.output"}, {"component": "sum.output", "intervention_type": "collect"}])"),
      model);
  const auto result = patched->forward(
      {.base = vectors({a, b}), .sources = {vectors({other, b}), std::nullopt}, .locations = vene::at(2)});
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
