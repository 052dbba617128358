// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/patch_maps.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "src/viz/labels.h"

namespace vene {
namespace {

std::string colour_of(const std::string& component) {
  return component.starts_with("mlp") ? "green" : component.starts_with("block") ? "purple" : "red";
}

std::vector<std::string> numbers(std::int64_t count, const std::string& before = "") {
  std::vector<std::string> all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(before + std::to_string(i));
  return all;
}

std::vector<std::string> position_labels(const PatchGrid& grid) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < grid.positions.size(); ++i)
    labels.push_back(grid.tokens[i].empty() ? printable(grid.positions[i])
                                            : printable(grid.positions[i]) + " " + shown_token(grid.tokens[i]));
  return labels;
}

}  // namespace

std::vector<HeatMap> patch_maps(const PatchGrid& grid) {
  std::vector<HeatMap> maps;
  const bool effects = grid.from().mean().item<double>() != grid.to().mean().item<double>();
  const auto shown = [&](const PatchGrid::Map& map) { return effects ? grid.effect(map) : map.mean(); };
  double low = 0, high = 1;
  for (const PatchGrid::Map& map : grid.maps) {
    low = std::min(low, shown(map).min().item<double>());
    high = std::max(high, shown(map).max().item<double>());
  }
  const auto add = [&](HeatMap map) {
    map.colour_label = effects ? "effect on " + name_of(grid.metric) : name_of(grid.metric);
    if (effects) map.range = {low, high};
    maps.push_back(std::move(map));
  };
  const std::string what = grid.direction == PatchDirection::kDenoise ? "clean" : "corrupt";
  if (grid.over == PatchAxes::kLayer) {
    HeatMap all;
    all.name = "layers";
    all.title = what + " value at all positions";
    std::vector<torch::Tensor> rows;
    for (const PatchGrid::Map& map : grid.maps) {
      rows.push_back(shown(map).flatten());
      all.rows.push_back(map.component);
    }
    all.values = torch::stack(rows);
    all.columns = numbers(all.values.size(1));
    all.x_label = "layer";
    add(std::move(all));
    return maps;
  }
  for (const PatchGrid::Map& map : grid.maps) {
    HeatMap one;
    one.name = map.component;
    one.colour = colour_of(map.component);
    one.title = map.component + ", " + what + " value";
    const torch::Tensor values = shown(map);  // [layers, heads, positions]
    const std::int64_t layers = values.size(0), heads = values.size(1);
    one.x_label = "layer";
    one.columns = numbers(layers);
    switch (grid.over) {
      case PatchAxes::kLayerPosition:
        one.values = values.select(1, 0).t();
        one.rows = position_labels(grid);
        break;
      case PatchAxes::kLayerHead:
        one.values = values.select(2, 0).t();
        one.rows = numbers(heads, "head ");
        break;
      default:
        one.values = values.flatten(0, 1).t();
        one.rows = position_labels(grid);
        one.columns.clear();
        for (std::int64_t layer = 0; layer < layers; ++layer) {
          for (const std::string& head : numbers(heads)) one.columns.push_back(std::to_string(layer) + "." + head);
        }
        one.x_label = "layer.head";
    }
    add(std::move(one));
  }
  return maps;
}

std::string patch_title(const PatchGrid& grid) {
  char figures[128];
  std::snprintf(figures, sizeof figures, ": %s is %.3g clean, %.3g corrupt, over %zu pair%s",
                name_of(grid.metric).c_str(), grid.clean.mean().item<double>(), grid.corrupt.mean().item<double>(),
                grid.pairs.size(), grid.pairs.size() == 1 ? "" : "s");
  return (grid.direction == PatchDirection::kDenoise ? "clean values into the corrupt run"
                                                     : "corrupt values into the clean run") +
         std::string(figures);
}

}  // namespace vene
