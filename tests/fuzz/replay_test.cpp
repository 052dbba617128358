// SPDX-License-Identifier: Apache-2.0
// The corpora of the fuzz targets, so that what was found once stays found.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/fuzz/targets.h"
#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace {

namespace fs = std::filesystem;

struct Target {
  const char* name;
  void (*run)(const std::string& bytes);
};

class Replay : public testing::TestWithParam<Target> {};

TEST_P(Replay, TheCorpusIsReadOrRefused) {
  const fs::path folder = fs::path(vene_test::kSourceFolder) / "tests/fuzz/corpus" / GetParam().name;
  int read = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    try {
      GetParam().run(vene::io::read_file(entry.path().string()));
      ++read;
    } catch (const vene::Error&) {
      ++refused;
    } catch (const std::exception& error) {
      ADD_FAILURE() << entry.path() << ": " << error.what();
    }
  }
  EXPECT_GT(refused, 0) << folder;
  RecordProperty("read", read);
}

#define VENE_TARGET(name)  \
  Target {                 \
#name, vene_fuzz::name \
  }
INSTANTIATE_TEST_SUITE_P(OfEachTarget, Replay,
                         testing::Values(VENE_TARGET(safetensors), VENE_TARGET(torch_archive), VENE_TARGET(npz),
                                         VENE_TARGET(gguf), VENE_TARGET(tokenizer_json), VENE_TARGET(sentence_piece),
                                         VENE_TARGET(vocabulary_and_merges), VENE_TARGET(model_config),
                                         VENE_TARGET(intervenable_config), VENE_TARGET(experiment),
                                         VENE_TARGET(train_spec), VENE_TARGET(locate_task),
                                         VENE_TARGET(collected_index)),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
