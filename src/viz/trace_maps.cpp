// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/trace_maps.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "src/viz/labels.h"

namespace vene {

std::vector<HeatMap> trace_maps(const CausalTrace& trace, MapScale scale) {
  std::vector<HeatMap> maps;
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < trace.tokens.size(); ++i) {
    const auto& noised = trace.subject_positions;
    tokens.push_back(
        shown_token(trace.tokens[i]) +
        (std::find(noised.begin(), noised.end(), static_cast<std::int64_t>(i)) != noised.end() ? "*" : ""));
  }
  for (const CausalTrace::Stream& stream : trace.streams) {
    HeatMap map;
    map.name = stream.component;
    map.title =
        stream.component + (stream.window > 1 ? ", window of " + std::to_string(stream.window) : "") + " restored";
    map.values = stream.probability.t();
    map.rows = tokens;
    for (std::int64_t layer = 0; layer < stream.probability.size(0); ++layer)
      map.columns.push_back(std::to_string(layer));
    map.x_label = stream.window > 1 ? "centre of the restored layers" : "restored layer";
    map.colour_label = "P(" + shown_token(trace.target) + ")";
    map.colour = stream.component.starts_with("mlp")         ? "green"
                 : stream.component.starts_with("attention") ? "red"
                                                             : "purple";
    maps.push_back(std::move(map));
  }
  if (scale == MapScale::kOwn || maps.empty()) return maps;
  double low = INFINITY, high = -INFINITY;
  for (const CausalTrace::Stream& stream : trace.streams) {
    low = std::min(low, stream.probability.min().item<double>());
    high = std::max(high, stream.probability.max().item<double>());
  }
  if (scale == MapScale::kCorrupted) low = trace.corrupted;
  for (HeatMap& map : maps) map.range = {low, std::max(high, low + std::max(1e-6, 1e-6 * std::abs(low)))};
  return maps;
}

std::string trace_title(const CausalTrace& trace) {
  char figures[96];
  std::snprintf(figures, sizeof figures, "clean %.3g, corrupted %.3g", trace.clean, trace.corrupted);
  return printable("\"" + trace.prompt + "\" -> \"" + trace.target + "\": ") + figures;
}

}  // namespace vene
