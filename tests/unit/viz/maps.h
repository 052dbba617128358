// SPDX-License-Identifier: Apache-2.0
// Heat maps as a causal trace has them, for prompts and models of any size.
#pragma once
#include <torch/types.h>

#include <string>
#include <vector>

#include "vene/viz/heat_map.h"

namespace vene_test {

inline std::vector<vene::HeatMap> random_maps(std::int64_t tokens, std::int64_t layers, std::size_t panels = 3) {
  static const std::vector<std::string> kWords{"The*", "Space*",     "Needle*", "is",  "in", "downtown",
                                               ",",    "Zo\xC3\xAB", "1962",    "and", "a",  "extraordinarily"};
  torch::manual_seed(1);
  std::vector<vene::HeatMap> maps;
  for (std::size_t m = 0; m < panels; ++m) {
    vene::HeatMap map;
    map.name = std::vector<std::string>{"block_output", "mlp_activation", "attention_output"}[m % 3];
    map.title = map.name + (m > 0 ? ", window of 10 restored" : " restored");
    map.values = torch::rand({tokens, layers}, torch::kFloat64);
    for (std::int64_t i = 0; i < tokens; ++i) map.rows.push_back(kWords[static_cast<std::size_t>(i) % kWords.size()]);
    for (std::int64_t i = 0; i < layers; ++i) map.columns.push_back(std::to_string(i));
    map.x_label = m > 0 ? "centre of the restored layers" : "restored layer";
    map.colour_label = "P(Seattle)";
    map.colour = std::vector<std::string>{"purple", "green", "red"}[m % 3];
    maps.push_back(map);
  }
  return maps;
}

}  // namespace vene_test
