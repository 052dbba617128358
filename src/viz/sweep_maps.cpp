// SPDX-License-Identifier: Apache-2.0
#include "vene/viz/sweep_maps.h"

#include "src/viz/labels.h"
#include "vene/base/names.h"

namespace vene {

std::vector<HeatMap> sweep_maps(const SweepTable& table) {
  const std::vector<SweepAxis>& axes = table.axes;
  const auto right = static_cast<std::int64_t>(axes.back().values.size());
  const SweepAxis* down = axes.size() > 1 ? &axes[axes.size() - 2] : nullptr;
  const torch::Tensor means =
      table.values.mean(1).view({-1, down == nullptr ? 1 : static_cast<std::int64_t>(down->values.size()), right});
  std::vector<HeatMap> maps;
  for (std::int64_t i = 0; i < means.size(0); ++i) {
    HeatMap map;
    const auto at = table.place(static_cast<std::size_t>(i * means.size(1) * right));
    std::vector<std::string> named;
    for (std::size_t axis = 0; axis + 2 < axes.size(); ++axis)
      named.push_back(axes[axis].name + "=" + axes[axis].values[at[axis]]);
    map.name = named.empty() ? name_of(table.metric) : join(named, "_");
    map.title = named.empty() ? name_of(table.metric) : printable(join(named));
    map.values = means[i];
    map.rows = down == nullptr ? std::vector<std::string>{""} : down->values;
    for (std::string& row : map.rows) row = down == nullptr ? row : printable(down->name + " " + row);
    for (const std::string& value : axes.back().values) map.columns.push_back(printable(value));
    map.x_label = axes.back().name;
    map.colour_label = name_of(table.metric);
    maps.push_back(std::move(map));
  }
  return maps;
}

}  // namespace vene
