// SPDX-License-Identifier: Apache-2.0
// Folders that pyvene saved, and what pyvene made of them: tests/golden/train (make_reference.py).
#include <gmock/gmock.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/interventions/rotated.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/io/torch_archive.h"
#include "vene/models/load.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using Json = nlohmann::json;

const fs::path kGolden = fs::path(vene_test::kSourceFolder) / "tests/golden/train";

const std::shared_ptr<models::Model>& model() {
  static const std::shared_ptr<models::Model> kModel = models::load((kGolden / "../models/gpt2_tied").string()).model;
  return kModel;
}

struct Golden {
  explicit Golden(const std::string& name)
      : folder(kGolden / name), run(Json::parse(io::read_file((folder / "run.json").string()))) {
    for (auto& [key, tensor] : io::read_tensors((folder / "reference.safetensors").string())) values[key] = tensor;
  }
  RunRequest request() const {
    RunRequest request;
    request.base.input_ids = values.at("base");
    for (int i = 0; values.contains("source." + std::to_string(i)); ++i) {
      models::Batch source;
      source.input_ids = values.at("source." + std::to_string(i));
      request.sources.emplace_back(source);
    }
    request.locations = Locations::parse(run["unit_locations"].dump());
    if (!run["subspaces"].is_null()) {
      for (const Json& ids : run["subspaces"])
        request.subspaces.push_back(
            ids.is_null() ? std::nullopt
                          : std::optional(SubspaceIds{ids.get<std::vector<std::vector<std::int64_t>>>()}));
    }
    return request;
  }
  Tensor loss(const Result& result) const {
    return torch::cross_entropy_loss(result.intervened.logits.select(1, -1),
                                     torch::tensor(run["labels"].get<std::vector<std::int64_t>>()));
  }
  fs::path folder;
  Json run;
  std::map<std::string, Tensor> values;
};

double error(const Tensor& a, const Tensor& b) {
  return (a.detach() - b).abs().max().item<double>();
}

class PyveneTest : public testing::TestWithParam<const char*> {};

TEST_P(PyveneTest, OutputsAndGradientsAreThoseOfPyvene) {
  const Golden golden(GetParam());
  const auto loaded = IntervenableModelImpl::load(golden.folder.string(), model());
  const Result result = loaded->forward(golden.request());
  EXPECT_LT(error(result.intervened.logits, golden.values.at("logits")), 1e-5);
  if (loaded->trainable_parameters().empty()) return;
  golden.loss(result).backward();
  int compared = 0;
  for (const auto& item : loaded->named_parameters()) {
    const auto expected = golden.values.find("gradient." + item.key());
    const bool defined = item.value().grad().defined();
    if (expected == golden.values.end()) {
      EXPECT_TRUE(!defined || item.value().grad().abs().max().item<double>() == 0) << item.key();
      continue;
    }
    ASSERT_TRUE(defined) << item.key();
    EXPECT_LT(error(item.value().grad(), expected->second), 1e-5) << item.key();
    ++compared;
  }
  EXPECT_EQ(compared, std::count_if(golden.values.begin(), golden.values.end(),
                                    [](const auto& entry) { return entry.first.starts_with("gradient."); }));
}

TEST_P(PyveneTest, FiftyStepsOfTrainingFollowPyvenesLosses) {
  const Golden golden(GetParam());
  if (!golden.values.contains("losses")) return;  // nothing to train
  const auto loaded = IntervenableModelImpl::load(golden.folder.string(), model());
  const RunRequest request = golden.request();
  const Plan plan = loaded->compile(request);
  torch::optim::Adam optimizer(loaded->trainable_parameters(),
                               torch::optim::AdamOptions(golden.run["rate"].get<double>()));
  const Tensor losses = golden.values.at("losses");
  ASSERT_EQ(losses.numel(), 50);
  EXPECT_LT(losses[49].item<double>(), losses[0].item<double>());
  for (std::int64_t step = 0; step < losses.numel(); ++step) {
    optimizer.zero_grad();
    const Tensor loss = golden.loss(run(plan, request.base, request.sources));
    EXPECT_NEAR(loss.item<double>(), losses[step].item<double>(), 1e-3) << step;
    loss.backward();
    optimizer.step();
  }
  EXPECT_LT(error(run(plan, request.base, request.sources).intervened.logits, golden.values.at("trained_logits")),
            1e-2);
}

// make_reference.py --check loads these folders into pyvene itself; here they are rewritten to the byte.
TEST_P(PyveneTest, FoldersWrittenForPyveneAreTheOnesThatPyveneWasSeenToRead) {
  const Golden golden(GetParam());
  const fs::path folder = fs::path(testing::TempDir()) / "written_for_pyvene" / GetParam();
  fs::remove_all(folder);
  const auto loaded = IntervenableModelImpl::load(golden.folder.string(), model());
  loaded->save_pyvene(folder.string());
  const fs::path seen = kGolden / "written" / GetParam();
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    ++files;
    EXPECT_EQ(io::read_file(entry.path().string()), io::read_file((seen / entry.path().filename()).string()))
        << entry.path();
  }
  EXPECT_EQ(files, std::distance(fs::directory_iterator(seen), fs::directory_iterator{}));
  // And back: the same outputs.
  const auto again = IntervenableModelImpl::load(folder.string(), model());
  const torch::NoGradGuard no_grad;
  EXPECT_LT(error(again->forward(golden.request()).intervened.logits, golden.values.at("logits")), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Cases, PyveneTest,
                         testing::Values("rotated", "rotated_leading", "rotated_partition", "rotated_units", "low_rank",
                                         "low_rank_partition", "low_rank_one", "low_rank_full", "low_rank_heads",
                                         "boundless", "sigmoid_mask_rotated", "sigmoid_mask", "autoencoder",
                                         "jump_relu", "two_sources", "serial", "linked", "constant"),
                         [](const auto& info) { return std::string(info.param); });

TEST(PyveneFolderTest, EveryMapAndReflectorsAreWrittenAsPyvenesOwnParametrisation) {
  const Golden golden("rotated");
  for (
      const char* config :
      {R"([{"layer": 1, "intervention_type": "rotated_space", "map": "cayley"}])",
       R"([{"layer": 1, "intervention_type": "rotated_space", "map": "householder"}])",
       R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 6}])",
       R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 6, "map": "matrix_exponential"}])"}) {
    IntervenableModel own(IntervenableConfig::parse(config), model());
    const torch::NoGradGuard no_grad;
    for (const auto& item : own->named_parameters()) item.value().add_(torch::randn_like(item.value()) * 0.3);
    const fs::path folder = fs::path(testing::TempDir()) / "own_for_pyvene";
    fs::remove_all(folder);
    own->save_pyvene(folder.string());
    const auto again = IntervenableModelImpl::load(folder.string(), model());
    EXPECT_LT(
        error(again->forward(golden.request()).intervened.logits, own->forward(golden.request()).intervened.logits),
        1e-5)
        << config;
  }
}

// tests/golden/pyvene_old/make_folders.py
TEST(PyveneFolderTest, FoldersOfOlderVersionsGiveWhatTheNewestMakesOfTheirTensors) {
  const fs::path root = kGolden / "../pyvene_old";
  std::map<std::string, Tensor> expected;
  for (auto& [key, tensor] : io::read_tensors((root / "expected.safetensors").string())) expected[key] = tensor;
  RunRequest request;
  request.base.input_ids = expected.at("base");
  for (const char* name : {"source.0", "source.1"}) {
    models::Batch source;
    source.input_ids = expected.at(name);
    request.sources.emplace_back(source);
  }
  request.locations = Locations::parse(R"({"sources->base": [[[[1], [1]], [[2], [2]]], [[[3], [3]], [[2], [2]]]]})");
  const torch::NoGradGuard no_grad;
  for (const char* version : {"names_of_0_0_6", "names_of_0_1_2", "names_of_0_1_8"}) {
    const auto loaded = IntervenableModelImpl::load((root / version).string(), model());
    EXPECT_LT(error(loaded->forward(request).intervened.logits, expected.at("logits")), 1e-5) << version;
  }
}

TEST(PyveneFolderTest, AWidthThatPyveneThoughtLargerThanItIsIsTheSites) {
  const fs::path folder = fs::path(testing::TempDir()) / "too_wide";
  fs::create_directories(folder);
  io::write_file(
      (folder / "config.json").string(),
      R"({"representations": [[1, "block_output", "pos", 1, null, null, null, null, null, null, null, null, null]],
      "intervention_types": ["VanillaIntervention"], "intervention_dimensions": [64], "sorted_keys": ["layer.1.comp.block_output.unit.pos.nunit.1#0"]})");
  EXPECT_EQ(IntervenableModelImpl::load(folder.string(), model())->interventions()[0]->interchange_dim, 16);
}

TEST(PyveneFolderTest, ASparseAutoencoderIsWrittenWithTheRankThatPyveneBuildsItFrom) {
  const fs::path folder = fs::path(testing::TempDir()) / "sparse";
  fs::remove_all(folder);
  IntervenableModel own(
      IntervenableConfig::parse(R"([{"layer": 1, "intervention_type": "jump_relu_autoencoder", "latent_dim": 20}])"),
      model());
  own->save_pyvene(folder.string());
  EXPECT_EQ(Json::parse(io::read_file((folder / "config.json").string()))["representations"][0][4], 20);
}

TEST(PyveneFolderTest, WhatPyveneHasNoFormForIsRefusedByName) {
  const std::string folder = (fs::path(testing::TempDir()) / "refused").string();
  fs::remove_all(folder);
  auto message = [&](const std::string& config, const char* text) {
    IntervenableModel own(IntervenableConfig::parse(config), model());
    EXPECT_THAT([&] { own->save_pyvene(folder); }, ThrowsMessage<IoError>(HasSubstr(text))) << config;
    EXPECT_FALSE(fs::exists(folder));
  };
  message(R"([{"intervention_type": "pca_rotated_space"}])", "pca_rotated_space cannot be written for pyvene");
  message(R"([{"intervention_type": "noise", "level": 2}])",
          "representations[0]: pyvene has no place for the option 'level' of 'noise'");
  message(R"([{"intervention_type": "vanilla", "subspace_partition": [{"columns": [0, 5]}, [5, 16]]}])",
          "pyvene reads a part of two columns as a range");
  message(
      R"([{"intervention_type": "jump_relu_autoencoder", "latent_dim": 20, "low_rank_dimension": 20, "latents": [3]}])",
      "pyvene exchanges leading latents of this class only");
}

TEST(PyveneFolderTest, AFolderWithoutItsArchivesNamesTheOneThatIsMissing) {
  const fs::path folder = fs::path(testing::TempDir()) / "no_archive";
  fs::create_directories(folder);
  fs::copy_file(kGolden / "rotated/config.json", folder / "config.json", fs::copy_options::overwrite_existing);
  EXPECT_THAT([&] { IntervenableModelImpl::load(folder.string(), model()); },
              ThrowsMessage<IoError>(HasSubstr("intkey_layer_1_comp_block_output_unit_pos_nunit_1#0.bin")));
}

}  // namespace
}  // namespace vene
