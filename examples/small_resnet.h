// SPDX-License-Identifier: Apache-2.0
// A small residual network whose convolutions are sites, and the pictures it learns: a bright square, left or right.
#pragma once
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <tuple>

#include "vene/hooks/hooked.h"
#include "vene/models/adapt.h"

namespace small_resnet {

TORCH_MODULE_IMPL(Conv2d, vene::Hooked<torch::nn::Conv2dImpl>);

inline torch::nn::Conv2dOptions conv(std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t stride = 1) {
  return torch::nn::Conv2dOptions(in, out, size).stride(stride).padding(size / 2).bias(false);
}

// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
struct BlockImpl : torch::nn::Module {
  BlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv1(register_module("conv1", Conv2d(conv(in, out, 3, stride)))),
        bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2(register_module("conv2", Conv2d(conv(out, out, 3)))),
        bn2(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (in != out || stride != 1) downsample = register_module("downsample", Conv2d(conv(in, out, 1, stride)));
  }
  torch::Tensor forward(
      const torch::Tensor& x) {  // [batch, in, height, width] -> [batch, out, height / stride, width / stride]
    const torch::Tensor inner = bn2(conv2(torch::relu(bn1(conv1(x)))));
    return torch::relu(inner + (downsample ? downsample(x) : x));
  }
  Conv2d conv1;
  torch::nn::BatchNorm2d bn1;
  Conv2d conv2;
  torch::nn::BatchNorm2d bn2;
  Conv2d downsample{nullptr};
};
TORCH_MODULE_IMPL(Block, vene::Hooked<BlockImpl>);

struct ResNetImpl : torch::nn::Module {
  ResNetImpl()
      : conv1(register_module("conv1", Conv2d(conv(1, 8, 3)))),
        layer1(register_module("layer1", Block(8, 8, 1))),
        layer2(register_module("layer2", Block(8, 16, 2))),
        fc(register_module("fc", torch::nn::Linear(16 * 3 * 3, 2))) {}
  torch::Tensor forward(const torch::Tensor& image) {  // [batch, 1, 12, 12] -> [batch, 2]
    const torch::Tensor maps = layer2(layer1(torch::relu(conv1(image))));
    return fc(torch::avg_pool2d(maps, 2).flatten(1));
  }
  Conv2d conv1;
  Block layer1, layer2;
  torch::nn::Linear fc;
};
TORCH_MODULE(ResNet);

// A feature map is [batch, channel, row, column]: unit "h" picks channels, "pos" rows, "h.pos" both, and subspaces pick
// columns.
inline std::shared_ptr<vene::models::Model> as_model(const ResNet& net) {
  const std::vector<vene::Axis> map{vene::Axis::kBatch, vene::Axis::kHead, vene::Axis::kPos, vene::Axis::kFeature};
  vene::models::AdaptOptions options;
  options.architecture = "small_resnet";
  options.sites = {{"feature_map", 0, "conv1.output", map},
                   {"feature_map", 1, "layer1.output", map},
                   {"feature_map", 2, "layer2.output", map},
                   {"inner_map", 1, "layer1.conv1.output", map},
                   {"inner_map", 2, "layer2.conv1.output", map}};
  return vene::models::adapt(net.ptr(), options);
}

// Noise with a bright 3 x 3 square in the left half (label 0) or the right (label 1).
inline std::tuple<torch::Tensor, torch::Tensor> pictures(std::int64_t count) {
  const torch::Tensor images = 0.3 * torch::randn({count, 1, 12, 12}),
                      labels = torch::randint(0, 2, {count}, torch::kInt64);
  const torch::Tensor rows = torch::randint(0, 10, {count}, torch::kInt64),
                      columns = torch::randint(0, 4, {count}, torch::kInt64);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t column = columns[i].item<std::int64_t>() + 6 * labels[i].item<std::int64_t>();
    images[i][0].narrow(0, rows[i].item<std::int64_t>(), 3).narrow(1, column, 3).add_(1.5);
  }
  return {images, labels};
}

inline double accuracy(const torch::Tensor& logits, const torch::Tensor& labels) {
  return logits.argmax(-1).eq(labels).to(torch::kFloat64).mean().item<double>();
}

inline void train(ResNet& net, std::int64_t steps) {
  net->train();
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(0.01));
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto [images, labels] = pictures(32);
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(net(images), labels).backward();
    optimizer.step();
  }
  net->eval();
}

}  // namespace small_resnet
