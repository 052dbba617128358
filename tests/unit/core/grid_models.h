// SPDX-License-Identifier: Apache-2.0
// The tiny models of tests/golden/pyvene.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "tests/places.h"
#include "vene/core/experiment.h"

namespace vene_test {

inline std::filesystem::path grid_folder() {
  return std::filesystem::path(vene_test::kSourceFolder) / "tests" / "golden" / "pyvene";
}

/// "gpt2", "gpt2_headless", "llama" or another folder there, loaded once.
inline const vene::models::LanguageModel& grid_model(const std::string& name) {
  static std::map<std::string, vene::models::LanguageModel> models;
  const auto found = models.find(name);
  return found != models.end()
             ? found->second
             : models.emplace(name, vene::models::load((grid_folder() / name).string())).first->second;
}

/// Runs an experiment given as the members of its JSON object, without the braces.
inline vene::Result run_members(const std::string& members, const std::string& model = "gpt2") {
  return vene::run_experiment(vene::parse_experiment("{" + members + "}", grid_model(model)), grid_model(model));
}

/// Base and source of two rows.
inline const std::string kBaseMember = R"("base": {"input_ids": [[3,1,4,1,5],[9,2,6,5,3]]})";
inline const std::string kInputMembers = kBaseMember + R"(, "sources": [{"input_ids": [[2,7,1,8,2],[8,1,8,2,8]]}])";

}  // namespace vene_test
