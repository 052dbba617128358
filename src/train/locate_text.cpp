// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <iomanip>
#include <sstream>

#include "src/base/csv.h"
#include "src/base/json.h"
#include "vene/base/version.h"
#include "vene/train/locate.h"

namespace vene {

std::string locate_csv(const LocateResult& result) {
  std::ostringstream csv;
  csv << "layer,position,token,iia,probe\n" << std::setprecision(9);
  const auto iia = result.iia.accessor<double, 2>(), probe = result.probe.accessor<double, 2>();
  for (std::int64_t layer = 0; layer < iia.size(0); ++layer) {
    for (std::int64_t column = 0; column < iia.size(1); ++column) {
      csv << result.layers[static_cast<std::size_t>(layer)] << ',' << column << ','
          << csv_field(result.tokens[static_cast<std::size_t>(column)]) << ',' << iia[layer][column] << ','
          << probe[layer][column] << '\n';
    }
  }
  return csv.str();
}

std::string locate_json(const LocateResult& result) {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  if (!result.model.empty()) json["model"] = result.model;
  json["dtype"] = result.dtype;
  json["component"] = result.options.component;
  if (result.options.head) json["head"] = *result.options.head;
  json["layers"] = result.layers;
  json["steps"] = result.options.steps;
  json["rate"] = result.options.rate;
  json["batch"] = result.options.batch;
  json["pairs"] = result.options.pairs;
  json["test_share"] = result.options.test_share;
  json["seed"] = result.options.seed;
  json["keep_mistaken"] = result.options.keep_mistaken;
  nlohmann::ordered_json& task = json["task"];
  task["template"] = result.task.text;
  for (const LocateTask::Class& entry : result.task.classes) {
    task["classes"][entry.name] = entry.names;
    task["answers"][entry.name] = entry.answer;
  }
  for (const LocateResult::Class& entry : result.classes) {
    json["names"][entry.name] = {{"answer_id", entry.answer_id},
                                 {"train", entry.train},
                                 {"test", entry.test},
                                 {"unaligned", entry.unaligned},
                                 {"mistaken", entry.mistaken}};
  }
  json["clean_accuracy"] = result.clean_accuracy;
  json["train_pairs"] = result.train_pairs;
  json["test_pairs"] = result.test_pairs;
  json["tokens"] = result.tokens;
  json["name_column"] = result.name_column;
  const auto table = [](const torch::Tensor& values) {
    std::vector<std::vector<double>> rows;
    const auto at = values.accessor<double, 2>();
    for (std::int64_t layer = 0; layer < at.size(0); ++layer) {
      rows.emplace_back();
      for (std::int64_t column = 0; column < at.size(1); ++column) rows.back().push_back(at[layer][column]);
    }
    return rows;
  };
  json["iia"] = table(result.iia);
  json["probe"] = table(result.probe);
  return detail::written_json(json) + "\n";
}

}  // namespace vene
