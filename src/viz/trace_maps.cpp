// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/trace_maps.h"

#include <algorithm>
#include <cstdio>

#include "src/viz/labels.h"

namespace vene {

namespace {

// A token without the space in front of it, which every second one has; quoted where nothing would be left to see.
std::string shown(const std::string& token) {
  const std::size_t begin = token.find_first_not_of(' ');
  return begin == std::string::npos ? "'" + token + "'" : token.substr(begin);
}

}  // namespace

std::vector<HeatMap> trace_maps(const CausalTrace& trace) {
  std::vector<HeatMap> maps;
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < trace.tokens.size(); ++i) {
    const auto& noised = trace.subject_positions;
    tokens.push_back(shown(trace.tokens[i]) + (std::find(noised.begin(), noised.end(), static_cast<std::int64_t>(i)) != noised.end() ? "*" : ""));
  }
  for (const CausalTrace::Stream& stream : trace.streams) {
    HeatMap map;
    map.title = stream.component + (stream.window > 1 ? ", window of " + std::to_string(stream.window) : "") + " restored";
    map.values = stream.probability.t();
    map.rows = tokens;
    for (std::int64_t layer = 0; layer < stream.probability.size(0); ++layer) map.columns.push_back(std::to_string(layer));
    map.x_label = stream.window > 1 ? "centre of the restored layers" : "restored layer";
    map.colour_label = "P(" + shown(trace.target) + ")";
    map.colour = stream.component.starts_with("mlp") ? "green" : stream.component.starts_with("attention") ? "red" : "purple";
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
