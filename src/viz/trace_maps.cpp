// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/trace_maps.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "src/viz/labels.h"

namespace vene {
namespace {

// A stream's map without its rows.
template <class Stream>
HeatMap map_of(const Stream& stream, const torch::Tensor& values) {
  HeatMap map;
  map.name = stream.component;
  map.title =
      stream.component + (stream.window > 1 ? ", window of " + std::to_string(stream.window) : "") + " restored";
  map.values = values.t();
  for (std::int64_t layer = 0; layer < values.size(0); ++layer) map.columns.push_back(std::to_string(layer));
  map.x_label = stream.window > 1 ? "centre of the restored layers" : "restored layer";
  map.colour = stream.component.starts_with("mlp")         ? "green"
               : stream.component.starts_with("attention") ? "red"
                                                           : "purple";
  return map;
}

// One range for all maps. `corrupted`: what the corrupted run has of what they show.
void set_ranges(std::vector<HeatMap>& maps, MapScale scale, double corrupted) {
  if (scale == MapScale::kOwn || maps.empty()) return;
  double low = INFINITY, high = -INFINITY;
  for (const HeatMap& map : maps) {
    const torch::Tensor values = map.values.masked_select(map.values.isnan().logical_not());
    if (values.numel() == 0) continue;
    low = std::min(low, values.min().item<double>());
    high = std::max(high, values.max().item<double>());
  }
  if (scale == MapScale::kCorrupted) low = corrupted;
  for (HeatMap& map : maps) map.range = {low, std::max(high, low + std::max(1e-6, 1e-6 * std::abs(low)))};
}

}  // namespace

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
    HeatMap map = map_of(stream, stream.probability);
    map.rows = tokens;
    map.colour_label = "P(" + shown_token(trace.target) + ")";
    maps.push_back(std::move(map));
  }
  set_ranges(maps, scale, trace.corrupted);
  return maps;
}

std::vector<HeatMap> trace_maps(const AverageTrace& trace, MapScale scale) {
  std::vector<HeatMap> maps;
  for (const AverageTrace::Stream& stream : trace.streams) {
    HeatMap map = map_of(stream, stream.effect);
    map.rows = trace_classes();
    map.colour_label = "average indirect effect";
    maps.push_back(std::move(map));
  }
  set_ranges(maps, scale, 0);
  return maps;
}

std::string trace_title(const CausalTrace& trace) {
  char figures[96];
  std::snprintf(figures, sizeof figures, "clean %.3g, corrupted %.3g", trace.clean, trace.corrupted);
  return printable("\"" + trace.prompt + "\" -> \"" + trace.target + "\": ") + figures;
}

std::string trace_title(const AverageTrace& trace) {
  char figures[96];
  std::snprintf(figures, sizeof figures, "clean %.3g, corrupted %.3g", trace.clean, trace.corrupted);
  return std::to_string(trace.prompts.size()) + (trace.prompts.size() == 1 ? " prompt: " : " prompts: ") + figures;
}

}  // namespace vene
