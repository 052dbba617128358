// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/locate_maps.h"

#include <cstdio>

#include "src/viz/labels.h"

namespace vene {

std::vector<HeatMap> locate_maps(const LocateResult& result) {
  HeatMap map;
  for (const std::string& token : result.tokens) map.rows.push_back(shown_token(token));
  for (const std::int64_t layer : result.layers)
    map.columns.push_back(layer < 0 ? result.options.component : std::to_string(layer));
  map.x_label = "layer of " + result.options.component +
                (result.options.head ? ", head " + std::to_string(*result.options.head) : "");
  map.range = {0, 1};
  HeatMap exchanged = map, read = map;
  exchanged.name = "exchanged";
  exchanged.title = "one direction exchanged";
  exchanged.values = result.iia.t();
  exchanged.colour_label = "interchange accuracy";
  read.name = "probed";
  read.title = "linear probe";
  read.values = result.probe.t();
  read.colour_label = "accuracy on new names";
  read.colour = "green";
  return {exchanged, read};
}

std::string locate_title(const LocateResult& result) {
  std::string answers;
  std::size_t used = 0;
  for (const LocateResult::Class& entry : result.classes) {
    answers += (answers.empty() ? "\"" : " or \"") + entry.answer + "\"";
    used += entry.train.size() + entry.test.size();
  }
  char figures[96];
  std::snprintf(figures, sizeof figures, "%zu names, right without an exchange %.3f", used, result.clean_accuracy);
  return printable("\"" + result.task.text + "\" -> " + answers + ": ") + figures;
}

}  // namespace vene
