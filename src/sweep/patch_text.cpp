// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <cmath>
#include <iomanip>
#include <sstream>

#include "src/base/csv.h"
#include "src/base/json.h"
#include "src/sweep/pair_json.h"
#include "vene/base/version.h"
#include "vene/sweep/patch.h"

namespace vene {
namespace {

bool has_heads(const PatchGrid& grid) {
  return grid.over == PatchAxes::kLayerHead || grid.over == PatchAxes::kLayerHeadPosition;
}

// Calls fn(layer, head, position, the fields of the cell's place) for each cell of a map.
template <class Fn>
void each_cell(const PatchGrid& grid, const PatchGrid::Map& map, Fn fn) {
  for (std::int64_t layer = 0; layer < map.values.size(0); ++layer) {
    for (std::int64_t head = 0; head < map.values.size(1); ++head) {
      for (std::int64_t position = 0; position < map.values.size(2); ++position) {
        std::string place = csv_field(map.component) + ',' + std::to_string(layer) + ',';
        if (has_heads(grid)) place += std::to_string(head);
        place += ',';
        const auto at = static_cast<std::size_t>(position);
        place += grid.positions.empty() ? "," : csv_field(grid.positions[at]) + ',' + csv_field(grid.tokens[at]);
        fn(layer, head, position, place);
      }
    }
  }
}

std::string field(double value) {
  if (std::isnan(value)) return "";
  std::ostringstream text;
  text << std::setprecision(9) << value;
  return text.str();
}

double at(const torch::Tensor& values, std::int64_t layer, std::int64_t head, std::int64_t position) {
  return values[layer][head][position].item<double>();
}

}  // namespace

std::string patch_csv(const PatchGrid& grid) {
  std::string csv = "component,layer,head,position,token,value,effect";
  csv += grid.bootstrap > 0 ? ",value_low,value_high,effect_low,effect_high\n" : "\n";
  for (const PatchGrid::Map& map : grid.maps) {
    const torch::Tensor mean = map.mean(), effect = grid.effect(map);
    each_cell(grid, map, [&](std::int64_t l, std::int64_t h, std::int64_t p, const std::string& place) {
      csv += place + ',' + field(at(mean, l, h, p)) + ',' + field(at(effect, l, h, p));
      if (grid.bootstrap > 0) {
        for (const torch::Tensor& end : {map.value_low, map.value_high, map.effect_low, map.effect_high})
          csv += ',' + field(at(end, l, h, p));
      }
      csv += '\n';
    });
  }
  return csv;
}

std::string patch_pairs_csv(const PatchGrid& grid) {
  std::string csv = "pair,component,layer,head,position,token,value,effect\n";
  for (const PatchGrid::Map& map : grid.maps) {
    each_cell(grid, map, [&](std::int64_t l, std::int64_t h, std::int64_t p, const std::string& place) {
      const torch::Tensor cell = map.values[l][h][p];
      const auto values = cell.accessor<double, 1>();
      const auto from = grid.from().accessor<double, 1>(), to = grid.to().accessor<double, 1>();
      for (std::int64_t pair = 0; pair < values.size(0); ++pair) {
        const double range = to[pair] - from[pair];
        csv += std::to_string(pair) + ',' + place + ',' + field(values[pair]) + ',' +
               field(range == 0 ? NAN : (values[pair] - from[pair]) / range) + '\n';
      }
    });
  }
  return csv;
}

std::string patch_json(const PatchGrid& grid) {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  if (!grid.model.empty()) json["model"] = grid.model;
  json["dtype"] = grid.dtype;
  json["direction"] = name_of(grid.direction);
  json["over"] = name_of(grid.over);
  json["metric"] = name_of(grid.metric);
  json["clean"] = detail::pair_values(grid.clean);
  json["corrupt"] = detail::pair_values(grid.corrupt);
  if (grid.bootstrap > 0) json["bootstrap"] = {{"resamples", grid.bootstrap}, {"seed", grid.seed}};
  json["pairs"] = detail::pairs_json(grid.pairs);
  if (!grid.positions.empty()) {
    json["positions"] = grid.positions;
    json["tokens"] = grid.tokens;
  }
  for (const PatchGrid::Map& map : grid.maps) {
    nlohmann::ordered_json entry;
    entry["component"] = map.component;
    entry["axes"] = {"layer"};
    if (has_heads(grid)) entry["axes"].push_back("head");
    if (!grid.positions.empty()) entry["axes"].push_back("position");
    const auto table = [&](torch::Tensor values, bool pairs = false) {
      const std::int64_t last = pairs ? values.dim() - 2 : values.dim() - 1;
      if (grid.positions.empty()) values = values.squeeze(last);
      if (!has_heads(grid)) values = values.squeeze(1);
      return detail::nested(values);
    };
    entry["value"] = table(map.mean());
    entry["effect"] = table(grid.effect(map));
    if (grid.bootstrap > 0) {
      entry["value_low"] = table(map.value_low);
      entry["value_high"] = table(map.value_high);
      entry["effect_low"] = table(map.effect_low);
      entry["effect_high"] = table(map.effect_high);
    }
    entry["values_of_pairs"] = table(map.values, true);
    json["maps"].push_back(std::move(entry));
  }
  return detail::written_json(json) + "\n";
}

}  // namespace vene
