// SPDX-License-Identifier: Apache-2.0
// The shared parts that ports are made of: attention, masks, positions, activations and linear layers.
#include <gmock/gmock.h>

#include "helpers.h"
#include "vene/models/attention.h"
#include "vene/models/nn.h"

namespace {

using namespace vene_test;
using namespace vene::models;

torch::Tensor plain_attention(const torch::Tensor& queries, torch::Tensor keys, torch::Tensor values, double scale,
                              const torch::Tensor& seen) {
  keys = keys.repeat_interleave(queries.size(1) / keys.size(1), 1);
  values = values.repeat_interleave(queries.size(1) / values.size(1), 1);
  const torch::Tensor scores = (torch::matmul(queries, keys.transpose(-1, -2)) * scale).masked_fill(~seen, -1e9);
  return torch::matmul(torch::softmax(scores, -1), values);
}

// Both paths of `attend`.
std::vector<torch::Tensor> both_paths(const torch::Tensor& queries, const torch::Tensor& keys,
                                      const torch::Tensor& values, const torch::Tensor& mask) {
  vene::HookPoint scores, pattern;
  std::vector<torch::Tensor> results = {attend(queries, keys, values, 0.3, mask, scores, pattern)};
  vene::HookTable table;
  bool fired = false;
  table.on(pattern->site_id(), vene::Phase::kOutput, [&](const vene::HookContext&) { fired = true; });
  vene::HookScope scope(table);
  results.push_back(attend(queries, keys, values, 0.3, mask, scores, pattern));
  EXPECT_TRUE(fired);
  return results;
}

TEST(Attention, GroupedHeadsShareKeysOnBothPaths) {
  torch::manual_seed(1);
  const torch::Tensor queries = torch::randn({2, 6, 5, 8}), keys = torch::randn({2, 2, 5, 8}),
                      values = torch::randn({2, 2, 5, 8});
  const torch::Tensor seen = torch::ones({5, 5}, torch::kBool).tril();
  for (const torch::Tensor& result : both_paths(queries, keys, values, {})) {
    EXPECT_LE(relative_error(result, plain_attention(queries, keys, values, 0.3, seen)), 1e-6);
  }
}

TEST(Attention, FewQueriesOverManyKeysSeeTheirOwnPast) {
  torch::manual_seed(2);
  const torch::Tensor queries = torch::randn({1, 2, 3, 8}), keys = torch::randn({1, 2, 7, 8}),
                      values = torch::randn({1, 2, 7, 8});
  const torch::Tensor seen = torch::ones({3, 7}, torch::kBool).tril(4);
  const torch::Tensor mask = attention_mask({}, 3, 7, torch::kFloat32);
  for (const torch::Tensor& result : both_paths(queries, keys, values, mask)) {
    EXPECT_LE(relative_error(result, plain_attention(queries, keys, values, 0.3, seen)), 1e-6);
  }
  EXPECT_THROW(both_paths(queries, keys, values, {}), c10::Error);
}

TEST(Attention, OneQueryNeedsNoMask) {
  torch::manual_seed(3);
  const torch::Tensor queries = torch::randn({1, 2, 1, 8}), keys = torch::randn({1, 2, 7, 8}),
                      values = torch::randn({1, 2, 7, 8});
  EXPECT_FALSE(attention_mask({}, 1, 7, torch::kFloat32).defined());
  for (const torch::Tensor& result : both_paths(queries, keys, values, {})) {
    EXPECT_LE(relative_error(result, plain_attention(queries, keys, values, 0.3, torch::ones({1, 7}, torch::kBool))),
              1e-6);
  }
}

TEST(Attention, DoublePrecisionIsKept) {
  torch::manual_seed(4);
  const torch::Tensor queries = torch::randn({1, 2, 4, 8}, torch::kFloat64);
  const auto results = both_paths(queries, queries, queries, {});
  EXPECT_LE(relative_error(results[1], results[0]), 1e-14);
}

TEST(AttentionMask, IsLeftOutWherePlainCausalityIsAll) {
  EXPECT_FALSE(attention_mask({}, 5, 5, torch::kFloat32).defined());
  EXPECT_FALSE(attention_mask({}, 5, 5, torch::kFloat32, 5).defined());
  EXPECT_TRUE(attention_mask({}, 2, 5, torch::kFloat32).defined());
}

TEST(AttentionMask, AWindowHidesWhatIsTooFarBack) {
  const torch::Tensor open = attention_mask({}, 4, 4, torch::kFloat32, 2)[0][0].eq(0).to(torch::kInt64);
  EXPECT_TRUE(
      torch::equal(open, torch::tensor({{1, 0, 0, 0}, {1, 1, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 1}}, torch::kInt64)));
}

TEST(AttentionMask, PaddingIsHiddenButAPaddedQuerySeesItself) {
  const torch::Tensor padding = torch::tensor({{0, 0, 1, 1}, {1, 1, 1, 0}}, torch::kBool);
  const torch::Tensor open = attention_mask(padding, 4, 4, torch::kFloat32).eq(0).to(torch::kInt64);
  EXPECT_TRUE(
      torch::equal(open[0][0], torch::tensor({{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 1, 1}}, torch::kInt64)));
  EXPECT_TRUE(
      torch::equal(open[1][0], torch::tensor({{1, 0, 0, 0}, {1, 1, 0, 0}, {1, 1, 1, 0}, {1, 1, 1, 1}}, torch::kInt64)));
}

TEST(PositionIds, CountRealTokensFromZero) {
  const torch::Tensor mask = torch::tensor({{0, 0, 1, 1}, {1, 1, 1, 0}}, torch::kInt64);
  EXPECT_TRUE(torch::equal(position_ids(mask, 4), torch::tensor({{0, 0, 0, 1}, {0, 1, 2, 2}}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(position_ids(mask, 1), torch::tensor({{1}, {2}}, torch::kInt64)));
}

TEST(Heads, AreSplitAndMergedBack) {
  const torch::Tensor value = torch::randn({2, 3, 12});
  EXPECT_TRUE(torch::equal(split_heads(value, 4)[1][2], value[1].narrow(1, 6, 3)));
  EXPECT_TRUE(torch::equal(merge_heads(split_heads(value, 4)), value));
}

TEST(Activation, FollowsItsFormula) {
  const torch::Tensor x = torch::linspace(-4, 4, 33, torch::kFloat64);
  const torch::Tensor inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x.pow(3));
  const std::map<std::string, torch::Tensor> expected = {
      {"gelu", 0.5 * x * (1 + torch::erf(x / std::sqrt(2.0)))},
      {"gelu_python", 0.5 * x * (1 + torch::erf(x / std::sqrt(2.0)))},
      {"gelu_new", 0.5 * x * (1 + torch::tanh(inner))},
      {"gelu_fast", 0.5 * x * (1 + torch::tanh(inner))},
      {"gelu_pytorch_tanh", 0.5 * x * (1 + torch::tanh(inner))},
      {"quick_gelu", x / (1 + torch::exp(-1.702 * x))},
      {"relu", x.clamp_min(0)},
      {"relu2", x.clamp_min(0).square()},
      {"silu", x / (1 + torch::exp(-x))},
      {"swish", x / (1 + torch::exp(-x))},
      {"tanh", torch::tanh(x)},
      {"sigmoid", 1 / (1 + torch::exp(-x))}};
  for (const std::string& name : nn::ActivationImpl::known_names()) {
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_LE(relative_error(nn::Activation(name)(x), expected.at(name)), 1e-12) << name;
  }
  EXPECT_EQ(expected.size(), nn::ActivationImpl::known_names().size());
}

TEST(Conv1D, IsALinearLayerWithItsWeightTransposed) {
  nn::Conv1D layer(3, 5);
  const torch::Tensor input = torch::randn({2, 4, 3});
  EXPECT_LE(relative_error(layer(input), torch::linear(input, layer->weight.t(), layer->bias)), 1e-6);
  // Not contiguous, as half of a wider value is.
  const torch::Tensor half = torch::randn({2, 4, 6}).chunk(2, -1)[1];
  EXPECT_LE(relative_error(layer(half), torch::linear(half, layer->weight.t(), layer->bias)), 1e-6);
}

TEST(Parts, KeepTheirNamesAndCanBeCloned) {
  nn::Linear linear(3, 5);
  EXPECT_THAT(linear->named_parameters().keys(), testing::ElementsAre("weight", "bias"));
  nn::Conv1D conv(3, 5);
  const auto copy = std::dynamic_pointer_cast<vene::Hooked<nn::Conv1DImpl>>(conv->clone());
  ASSERT_NE(copy, nullptr);
  EXPECT_TRUE(torch::equal(copy->weight, conv->weight));
  EXPECT_NE(copy->weight.data_ptr(), conv->weight.data_ptr());
  EXPECT_NE(copy->site_id(), conv->site_id());
}

TEST(UnsetParameters, HoldsWhileItLivesAndNests) {
  EXPECT_FALSE(nn::UnsetParameters::active());
  {
    nn::UnsetParameters outer;
    { nn::UnsetParameters inner; }
    EXPECT_TRUE(nn::UnsetParameters::active());
  }
  EXPECT_FALSE(nn::UnsetParameters::active());
  const nn::Embedding table(nn::embedding_options(1000, 10));
  EXPECT_NEAR(table->weight.std().item<double>(), 0.02, 0.002);
  EXPECT_TRUE(table->weight.requires_grad());
}

}  // namespace
