// SPDX-License-Identifier: Apache-2.0
// Interventions on feature maps: a small residual network says whether a bright square is left or right. Which half of
// a map, and which channels, does it read that from?
#include "small_resnet.h"

#include <cstdio>
#include <numeric>

#include "vene/core/intervenable_model.h"

int main() {
  torch::manual_seed(4);
  torch::set_num_threads(1);
  small_resnet::ResNet net;
  small_resnet::train(net, 60);
  const torch::NoGradGuard no_grad;
  const auto [images, labels] = small_resnet::pictures(100);
  std::printf("accuracy on 100 new pictures: %.1f\n", small_resnet::accuracy(net(images), labels));

  // Every picture meets one whose square is on the other side.
  const auto [others, other_labels] = small_resnet::pictures(400);
  const torch::Tensor left = torch::nonzero(other_labels == 0).flatten(),
                      right = torch::nonzero(other_labels == 1).flatten();
  const torch::Tensor partner = torch::where(labels == 0, right.narrow(0, 0, 100), left.narrow(0, 0, 100));
  vene::models::Batch base, source;
  base.inputs_embeds = images;
  source.inputs_embeds = others.index_select(0, partner);

  const auto model = small_resnet::as_model(net);
  vene::IntervenableModel exchange(
      vene::IntervenableConfig::parse(R"([{"component": "feature_map", "layer": 1, "unit": "h"}])"), model);
  const auto says_source = [&](const vene::RunRequest& request) {
    return 1 - small_resnet::accuracy(exchange->forward(request).intervened.logits, labels);
  };
  std::vector<std::int64_t> half(6);
  std::iota(half.begin(), half.end(), 0);
  std::printf("the answer is the source's, with from the source\n");
  std::printf("  every channel of layer1: %.1f\n",
              says_source({.base = base, .sources = {source}, .locations = vene::all()}));
  std::printf(
      "  their left half:         %.1f\n",
      says_source(
          {.base = base, .sources = {source}, .locations = vene::all(), .subspaces = {vene::SubspaceIds{{half}}}}));
  std::printf("  no channel but 0:        %.1f\n",
              says_source({.base = base, .sources = {source}, .locations = vene::at(0)}));

  vene::IntervenableModel zero(
      vene::IntervenableConfig::parse(
          R"([{"component": "feature_map", "layer": 1, "unit": "h", "intervention_type": "zero"}])"),
      model);
  std::printf("accuracy with a channel of layer1 set to zero:");
  for (std::int64_t channel = 0; channel < 8; ++channel) {
    const vene::Result result = zero->forward({.base = base, .locations = vene::at(channel)});
    std::printf(" %.1f", small_resnet::accuracy(result.intervened.logits, labels));
  }
  std::printf("\n");
  return 0;
}
