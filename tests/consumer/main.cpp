// SPDX-License-Identifier: Apache-2.0
// What a program that links vene looks like from outside: a hooked module of its own, and a config.
#include <torch/nn/modules/linear.h>
#include <vene/config/intervenable_config.h>
#include <vene/hooks/hooked.h>

#include <iostream>

int main() {
  auto linear = std::make_shared<vene::Hooked<torch::nn::LinearImpl>>(torch::nn::LinearOptions(3, 2));
  vene::HookTable table;
  table.on(linear->site_id(), vene::Phase::kOutput,
           [](const vene::HookContext& context) { context.value() = torch::zeros_like(context.value()); });
  const vene::HookScope scope(table);
  const bool zeroed = linear->forward(torch::ones({1, 3})).abs().sum().item<float>() == 0;
  const auto config =
      vene::IntervenableConfig::parse(R"([{"layer": 1, "component": "mlp_output", "intervention_type": "zero"}])");
  std::cout << (zeroed && config.representations.size() == 1 ? "consumer works" : "consumer fails") << "\n";
}
