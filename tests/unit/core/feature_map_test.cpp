// SPDX-License-Identifier: Apache-2.0
// Channels, rows and columns of a convolutional net's feature maps, against the net written out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "examples/small_resnet.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

using torch::Tensor;
using torch::indexing::Slice;

class FeatureMapTest : public testing::Test {
 protected:
  FeatureMapTest() {
    torch::manual_seed(3);
    net_ = small_resnet::ResNet();
    small_resnet::train(net_, 3);  // gives the norms something to divide by
    model_ = small_resnet::as_model(net_);
    base_.inputs_embeds = std::get<0>(small_resnet::pictures(3));
    source_.inputs_embeds = std::get<0>(small_resnet::pictures(3));
    no_grad_.emplace();
  }
  Result forward(const std::string& config, const RunRequest& request) {
    return IntervenableModel(IntervenableConfig::parse(config), model_)->forward(request);
  }
  // The net with an edit of layer1's output.
  Tensor by_hand(const Tensor& images, const std::function<void(Tensor&)>& edit) {
    Tensor maps = layer1(images);
    edit(maps);
    return net_->fc(torch::avg_pool2d(net_->layer2(maps), 2).flatten(1));
  }
  Tensor layer1(const Tensor& images) {
    small_resnet::BlockImpl& block = *net_->layer1;
    const Tensor x = torch::relu(net_->conv1(images));
    return torch::relu(block.bn2(block.conv2(torch::relu(block.bn1(block.conv1(x))))) + x).clone();
  }
  static void expect_close(const Tensor& actual, const Tensor& expected) {
    ASSERT_EQ(actual.sizes(), expected.sizes());
    EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-5);
  }

  std::optional<torch::NoGradGuard> no_grad_;
  small_resnet::ResNet net_{nullptr};
  std::shared_ptr<models::Model> model_;
  models::Batch base_, source_;
};

TEST_F(FeatureMapTest, UnitHPicksChannelsRowByRow) {
  const Result result =
      forward(R"([{"component": "feature_map", "layer": 1, "unit": "h", "intervention_type": "zero"}])",
              {.base = base_, .locations = per_row({{1, 3}, {0}, {7}})});
  expect_close(result.intervened.logits, by_hand(base_.inputs_embeds, [](Tensor& maps) {
                 maps[0][1].zero_();
                 maps[0][3].zero_();
                 maps[1][0].zero_();
                 maps[2][7].zero_();
               }));
}

TEST_F(FeatureMapTest, UnitHPosPicksRowsOfChannelsAndSubspacesColumns) {
  const Tensor other = layer1(source_.inputs_embeds);
  const Result result = forward(R"([{"component": "feature_map", "layer": 1, "unit": "h.pos"}])",
                                {.base = base_,
                                 .sources = {source_},
                                 .locations = heads_at({2, 5}, at({4, 6})),
                                 .subspaces = {SubspaceIds{{{0, 1, 11}}}}});
  expect_close(result.intervened.logits, by_hand(base_.inputs_embeds, [&](Tensor& maps) {
                 for (const std::int64_t channel : {2, 5}) {
                   for (const std::int64_t row : {4, 6}) {
                     for (const std::int64_t column : {0, 1, 11})
                       maps.index_put_({Slice(), channel, row, column}, other.index({Slice(), channel, row, column}));
                   }
                 }
               }));
}

TEST_F(FeatureMapTest, UnitPosPicksRowsOfEveryChannel) {
  const Tensor other = layer1(source_.inputs_embeds);
  const Result result = forward(
      R"([{"component": "feature_map", "layer": 1, "unit": "pos"}, {"component": "feature_map", "layer": 1, "unit": "pos", "intervention_type": "collect"}])",
      {.base = base_, .sources = {source_}, .locations = from(at(2), at(9))});
  expect_close(result.intervened.logits, by_hand(base_.inputs_embeds, [&](Tensor& maps) {
                 maps.index_put_({Slice(), Slice(), 9}, other.index({Slice(), Slice(), 2}));
               }));
  EXPECT_EQ(result.collected.size(), 1U);
}

TEST_F(FeatureMapTest, BareConvolutionsAreSitesToo) {
  const Result result =
      forward(R"([{"component": "layer1.conv2.output", "intervention_type": "zero"}])", {.base = base_});
  Tensor without = torch::relu(net_->conv1(base_.inputs_embeds));
  without = torch::relu(net_->layer1->bn2(torch::zeros_like(without)) + without);
  expect_close(result.intervened.logits, net_->fc(torch::avg_pool2d(net_->layer2(without), 2).flatten(1)));
}

}  // namespace
}  // namespace vene
