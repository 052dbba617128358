// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "tests/fuzz/targets.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "vene/train/locate.h"
#include "vene/train/spec.h"
#include "vene/vene.h"

namespace vene_fuzz {
namespace {

const vene::models::LanguageModel& small_model() {
  static const auto kModel = vene::models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  return kModel;
}

}  // namespace

// Without weights: what the config asks for is checked, and then they are missed.
void model_config(const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  kFolder.write("config.json", bytes);
  (void)vene::models::load(kFolder.path());
}

void intervenable_config(const std::string& bytes) {
  (void)vene::IntervenableConfig::parse(vene::IntervenableConfig::parse(bytes).to_json());
}

void experiment(const std::string& bytes) {
  (void)vene::parse_experiment(bytes, small_model(), "/nowhere");
}

void train_spec(const std::string& bytes) {
  (void)vene::train::parse_train_spec(bytes, small_model(), "/nowhere");
}

void locate_task(const std::string& bytes) {
  (void)vene::LocateTask::parse(bytes);
}

void collected_index(const std::string& bytes) {
  static const vene_test::TestFolder kFolder;
  kFolder.write("index.json", bytes);
  const vene::CollectedFolder folder = vene::CollectedFolder::open(kFolder.path());
  for (const vene::CollectedSite& site : folder.sites()) (void)folder.values(site.name);
}

}  // namespace vene_fuzz
