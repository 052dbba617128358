// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "src/base/json.h"
#include "src/cli/command.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

struct Options {
  ModelChoice model;
  bool json = false;
};

std::vector<std::string> axis_names(const Site& site) {
  std::vector<std::string> names;
  for (Axis axis : site.axes) names.push_back(axis_name(axis));
  return names;
}

// "[batch, pos, 4 heads, 32]"
std::string shape(const Site& site) {
  std::vector<std::string> sizes;
  for (Axis axis : site.axes) {
    switch (axis) {
      case Axis::kBatch:
        sizes.push_back("batch");
        break;
      case Axis::kPos:
        sizes.push_back("pos");
        break;
      case Axis::kKey:
        sizes.push_back("key");
        break;
      case Axis::kHead:
        sizes.push_back(std::to_string(site.heads) + " heads");
        break;
      case Axis::kFeature:
        sizes.push_back(site.width > 0 ? std::to_string(site.width) : "feature");
        break;
    }
  }
  return sizes.empty() ? "?" : "[" + join(sizes) + "]";
}

void list_sites(const Options& options) {
  const models::LanguageModel lm = options.model.load();
  if (options.json) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const Site& site : lm.model->sites().all()) {
      nlohmann::ordered_json entry;
      entry["component"] = site.component.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(site.component);
      entry["layer"] = site.layer < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(site.layer);
      entry["path"] = site.path;
      entry["axes"] = axis_names(site);
      entry["width"] = site.width;
      entry["heads"] = site.heads;
      all.push_back(entry);
    }
    std::printf("%s\n", detail::written_json(all).c_str());
    return;
  }
  std::printf("%-30s %5s  %-46s %s\n", "component", "layer", "path", "shape");
  for (const Site& site : lm.model->sites().all()) {
    const std::string layer = site.layer < 0 ? "-" : std::to_string(site.layer);
    std::printf("%-30s %5s  %-46s %s\n", site.component.empty() ? "-" : site.component.c_str(), layer.c_str(),
                site.path.c_str(), shape(site).c_str());
  }
}

}  // namespace

void add_sites(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("sites", "List every place of a model that can be read or replaced");
  options->model.add_to(*command, /*positional=*/true);
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: vene sites assets/landmarks-gpt2");
  command->callback([options] { list_sites(*options); });
}

}  // namespace vene::cli
