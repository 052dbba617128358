// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/trace_maps.h"

#include <algorithm>
#include <cstdio>

#include "src/viz/labels.h"

namespace vene {

std::vector<HeatMap> trace_maps(const CausalTrace& trace) {
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
  return maps;
}

std::string trace_title(const CausalTrace& trace) {
  char figures[96];
  std::snprintf(figures, sizeof figures, "clean %.3f, corrupted %.3f", trace.clean, trace.corrupted);
  return printable("\"" + trace.prompt + "\" -> \"" + trace.target + "\": ") + figures;
}

}  // namespace vene
