// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <iomanip>
#include <sstream>

#include "src/base/csv.h"
#include "src/base/json.h"
#include "src/sweep/pair_json.h"
#include "vene/base/version.h"
#include "vene/sweep/ablate.h"

namespace vene {
namespace {

std::string place_of(const Ablation::Unit& unit) {
  const std::string index = std::to_string(unit.index);
  return csv_field(unit.component) + ',' + std::to_string(unit.layer) + ',' +
         (unit.kind == AblationUnit::kHead ? index : "") + ',' + (unit.kind == AblationUnit::kNeuron ? index : "");
}

}  // namespace

std::string ablate_csv(const Ablation& ablation) {
  std::ostringstream csv;
  csv << "component,layer,head,neuron,value,change"
      << (ablation.bootstrap > 0 ? ",value_low,value_high,change_low,change_high\n" : "\n") << std::setprecision(9);
  for (const Ablation::Unit& unit : ablation.units) {
    csv << place_of(unit) << ',' << ablation.value(unit) << ',' << ablation.change(unit);
    if (ablation.bootstrap > 0)
      csv << ',' << unit.value_low << ',' << unit.value_high << ',' << unit.change_low << ',' << unit.change_high;
    csv << '\n';
  }
  return csv.str();
}

std::string ablate_pairs_csv(const Ablation& ablation) {
  std::ostringstream csv;
  csv << "pair,component,layer,head,neuron,value,change\n" << std::setprecision(9);
  const auto clean = ablation.clean.accessor<double, 1>();
  for (const Ablation::Unit& unit : ablation.units) {
    const auto values = unit.values.accessor<double, 1>();
    for (std::int64_t pair = 0; pair < values.size(0); ++pair)
      csv << pair << ',' << place_of(unit) << ',' << values[pair] << ',' << values[pair] - clean[pair] << '\n';
  }
  return csv.str();
}

std::string ablate_json(const Ablation& ablation) {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  if (!ablation.model.empty()) json["model"] = ablation.model;
  json["dtype"] = ablation.dtype;
  json["kind"] = name_of(ablation.kind);
  if (ablation.kind == AblationKind::kMean) json["positional"] = ablation.positional;
  if (ablation.texts > 0) json["texts"] = ablation.texts;
  json["metric"] = name_of(ablation.metric);
  if (ablation.greedy > 0) json["greedy"] = ablation.greedy;
  json["seed"] = ablation.seed;
  if (ablation.bootstrap > 0) json["bootstrap"] = ablation.bootstrap;
  json["clean"] = detail::pair_values(ablation.clean);
  json["pairs"] = detail::pairs_json(ablation.pairs);
  json["units"] = nlohmann::ordered_json::array();
  for (const Ablation::Unit& unit : ablation.units) {
    nlohmann::ordered_json entry;
    entry["component"] = unit.component;
    entry["layer"] = unit.layer;
    if (unit.kind != AblationUnit::kLayer) entry[name_of(unit.kind)] = unit.index;
    entry["value"] = ablation.value(unit);
    entry["change"] = ablation.change(unit);
    if (ablation.bootstrap > 0) {
      entry["value_interval"] = {unit.value_low, unit.value_high};
      entry["change_interval"] = {unit.change_low, unit.change_high};
    }
    entry["values"] = detail::nested(unit.values);
    json["units"].push_back(std::move(entry));
  }
  return detail::written_json(json) + "\n";
}

}  // namespace vene
