// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/ablate_maps.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace vene {
namespace {

bool low_is_good(const Ablation& ablation) {
  return ablation.metric == AnswerMetric::kKl || ablation.metric == AnswerMetric::kRank;
}

template <class T>
std::size_t place(std::vector<T>& known, const T& entry) {
  const auto found = std::find(known.begin(), known.end(), entry);
  if (found != known.end()) return static_cast<std::size_t>(found - known.begin());
  known.push_back(entry);
  return known.size() - 1;
}

constexpr std::int64_t kNeurons = 64;  // in a row

HeatMap map_of(const Ablation& ablation, AblationUnit kind) {
  HeatMap map;
  map.name = name_of(kind) + "s";
  map.x_label = kind == AblationUnit::kNeuron ? "neuron, from the row's first on" : "layer";
  map.colour = kind == AblationUnit::kLayer ? "purple" : kind == AblationUnit::kHead ? "red" : "green";
  map.colour_label = name_of(ablation.metric) + (low_is_good(ablation) ? " gained" : " lost");
  map.title = kind == AblationUnit::kLayer  ? "components of layers"
              : kind == AblationUnit::kHead ? "heads of attention_output"
                                            : "neurons of mlp_activation";
  std::vector<std::string> rows, columns;
  std::vector<std::pair<std::pair<std::size_t, std::size_t>, double>> cells;
  if (kind == AblationUnit::kNeuron) {
    for (std::int64_t i = 0; i < kNeurons; ++i) columns.push_back(i % 8 == 0 ? std::to_string(i) : "");
  }
  for (const Ablation::Unit& unit : ablation.units) {
    if (unit.kind != kind) continue;
    std::string row = unit.component;
    std::size_t column = 0;
    if (kind == AblationUnit::kNeuron) {
      row = std::to_string(unit.layer) + ": " + std::to_string(unit.index / kNeurons * kNeurons);
      column = static_cast<std::size_t>(unit.index % kNeurons);
    } else {
      if (kind == AblationUnit::kHead) row = "head " + std::to_string(unit.index);
      column = place(columns, std::to_string(unit.layer));
    }
    cells.push_back({{place(rows, row), column}, (low_is_good(ablation) ? 1 : -1) * ablation.change(unit)});
  }
  map.values = torch::full({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns.size())}, NAN,
                           torch::kFloat64);
  for (const auto& [at, value] : cells)
    map.values[static_cast<std::int64_t>(at.first)][static_cast<std::int64_t>(at.second)] = value;
  map.rows = std::move(rows);
  map.columns = std::move(columns);
  return map;
}

}  // namespace

std::vector<HeatMap> ablation_maps(const Ablation& ablation) {
  std::vector<HeatMap> maps;
  for (const AblationUnit kind : {AblationUnit::kLayer, AblationUnit::kHead, AblationUnit::kNeuron}) {
    if (std::any_of(ablation.units.begin(), ablation.units.end(),
                    [kind](const Ablation::Unit& unit) { return unit.kind == kind; }))
      maps.push_back(map_of(ablation, kind));
  }
  return maps;
}

Curve ablation_curve(const Ablation& ablation) {
  Curve curve;
  curve.title = ablation_title(ablation);
  curve.x_label = "units ablated, the least harmful first";
  curve.y_label = name_of(ablation.metric);
  curve.x.push_back(0);
  curve.y.push_back(ablation.clean.mean().item<double>());
  for (const Ablation::Unit& unit : ablation.units) {
    curve.x.push_back(static_cast<double>(curve.x.size()));
    curve.y.push_back(ablation.value(unit));
  }
  return curve;
}

std::string ablation_title(const Ablation& ablation) {
  char figures[128];
  std::snprintf(figures, sizeof figures, " ablation: %s is %.3g clean, over %zu pair%s",
                name_of(ablation.metric).c_str(), ablation.clean.mean().item<double>(), ablation.pairs.size(),
                ablation.pairs.size() == 1 ? "" : "s");
  return (ablation.positional ? "positional " : "") + name_of(ablation.kind) + figures;
}

std::string unit_text(const Ablation::Unit& unit) {
  std::string text = unit.component + " " + std::to_string(unit.layer);
  if (unit.kind != AblationUnit::kLayer) text += " " + name_of(unit.kind) + " " + std::to_string(unit.index);
  return text;
}

}  // namespace vene
