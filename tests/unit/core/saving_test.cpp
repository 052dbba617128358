// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/test_folder.h"
#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/interventions/autoencoder.h"
#include "vene/interventions/pca.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;
using namespace vene_test;

class SavingTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  models::Batch base_ = ids({{1, 2, 3, 4}, {5, 6, 7, 8}});
  models::Batch source_ = ids({{9, 8, 7, 6}, {4, 3, 2, 1}});
  fs::path folder_ = fs::path(testing::TempDir()) / "saving_test";
  std::vector<std::string> warnings_;

  void SetUp() override { fs::remove_all(folder_); }
  IntervenableModel make(const std::string& json) { return IntervenableModel(IntervenableConfig::parse(json), model_); }
  std::shared_ptr<IntervenableModelImpl> load(const std::shared_ptr<models::Model>& model) {
    return IntervenableModelImpl::load(folder_.string(), model, InterventionRegistry::standard(),
                                       [this](const std::string& text) { warnings_.push_back(text); });
  }
  static void disturb(IntervenableModelImpl& intervenable) {
    const torch::NoGradGuard no_grad;
    for (const auto& item : intervenable.named_parameters()) item.value().add_(torch::randn_like(item.value()) * 0.3);
    intervenable.set_temperature(3.5);
    for (const auto& intervention : intervenable.interventions()) {
      if (auto* pca = dynamic_cast<PCARotatedSpace*>(intervention.get())) pca->fit(torch::randn({20, 6}));
    }
  }
};

TEST_F(SavingTest, EveryClassComesBackEqualToTheBit) {
  const std::string one = R"({"layer": 1, "component": "block_output", "intervention_type": )";
  for (const std::string& config :
       {one + R"("rotated_space"})",
        one + R"("rotated_space", "map": "householder", "subspace_partition": [[0, 2], {"columns": [2, 5]}]})",
        one + R"("rotated_space", "map": "matrix_exponential"})",
        one + R"("low_rank_rotated_space", "low_rank_dimension": 2})",
        one + R"("low_rank_rotated_space", "low_rank_dimension": 6})", one + R"("boundless_rotated_space"})",
        one + R"("sigmoid_mask_rotated_space"})", one + R"("sigmoid_mask"})",
        one + R"("pca_rotated_space", "low_rank_dimension": 4})",
        one + R"("autoencoder", "latent_dim": 9, "latents": [0, 8]})",
        one + R"("jump_relu_autoencoder", "latent_dim": 9})",
        one + R"("vanilla", "source_representation": [1, 2, 3, 4, 5, 6]})",
        one + R"("addition", "source_representation": [[0.1, 2, 3, 4, 5, 6]]})"}) {
    SCOPED_TRACE(config);
    SetUp();
    auto saved = make(config);
    disturb(*saved);
    saved->interventions()[0]->interchange_dim = 4;
    saved->save(folder_.string());
    const auto loaded = load(model_);
    EXPECT_THAT(warnings_, IsEmpty());
    const bool constant = saved->interventions()[0]->source_representation().defined();
    RunRequest request{.base = base_, .locations = at(2)};
    if (!constant) request.sources = {source_};
    EXPECT_TRUE(torch::equal(loaded->forward(request).intervened.logits, saved->forward(request).intervened.logits));
    const NamedTensors before = saved->interventions()[0]->state(), after = loaded->interventions()[0]->state();
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(torch::equal(before[i].second, after[i].second)) << before[i].first;
    // Saved again, the files are the same.
    const std::string config_file = io::read_file((folder_ / "config.json").string()),
                      tensors_file = io::read_file((folder_ / "interventions.safetensors").string());
    loaded->save(folder_.string());
    EXPECT_EQ(io::read_file((folder_ / "config.json").string()), config_file);
    EXPECT_EQ(io::read_file((folder_ / "interventions.safetensors").string()), tensors_file);
  }
}

TEST_F(SavingTest, WhatIsInTheConfigAloneComesBackWithoutATensorFile) {
  const std::string one = R"({"layer": 1, "component": "block_output", "intervention_type": )";
  for (const std::string& config :
       {one + R"("scale", "factor": -2})", one + R"("clamp", "minimum": [0, 0.1, 0.2, 0, 0, 0], "maximum": 0.5})",
        one + R"("set", "value": [1, 2, 3, 4, 5, 6]})"}) {
    SCOPED_TRACE(config);
    SetUp();
    auto saved = make(config);
    saved->save(folder_.string());
    EXPECT_FALSE(fs::exists(folder_ / "interventions.safetensors"));
    const auto loaded = load(model_);
    const RunRequest request{.base = base_, .locations = at(2), .original = true};
    const Result result = loaded->forward(request);
    EXPECT_TRUE(torch::equal(result.intervened.logits, saved->forward(request).intervened.logits));
    EXPECT_FALSE(torch::equal(result.intervened.logits, result.original->logits));
    EXPECT_THAT([&] { saved->save_pyvene((folder_ / "pyvene").string()); },
                ThrowsMessage<IoError>(HasSubstr("pyvene has no place for the option")));
  }
}

TEST_F(SavingTest, LinkedInterventionsAreSavedOnceAndComeBackLinked) {
  auto saved = make(
      R"([{"layer": 0, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "intervention_link_key": "r"},
                        {"layer": 2, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "intervention_link_key": "r"}])");
  disturb(*saved);
  saved->save(folder_.string());
  EXPECT_EQ(io::read_tensors((folder_ / "interventions.safetensors").string()).size(), 3U);
  const auto loaded = load(model_);
  EXPECT_EQ(loaded->interventions()[0], loaded->interventions()[1]);
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(1)};
  EXPECT_TRUE(torch::equal(loaded->forward(request).intervened.logits, saved->forward(request).intervened.logits));
}

TEST_F(SavingTest, AnotherModelIsRefusedAndOtherWeightsAreAWarning) {
  make(R"([{"layer": 1, "intervention_type": "sigmoid_mask"}])")->save(folder_.string());
  load(model_);
  EXPECT_THAT(warnings_, IsEmpty());
  load(ToyModel::make(8));
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_THAT(warnings_[0],
              HasSubstr("this model has other weights than the one that the interventions were saved for"));
  std::string config = io::read_file((folder_ / "config.json").string());
  config.replace(config.find("\"layers\": 3"), 11, "\"layers\": 4");
  io::write_file((folder_ / "config.json").string(), config);
  EXPECT_THAT([&] { load(model_); },
              ThrowsMessage<PlanError>(HasSubstr(
                  "saved for a model toy of 4 layers, width 6 and vocabulary 11, this one is a toy of 3 layers")));
}

TEST_F(SavingTest, PartsOfTheModelThatTrainAreSavedAndPutBack) {
  auto saved = make(R"([{"layer": 1, "intervention_type": "sigmoid_mask"}])");
  EXPECT_THAT([&] { saved->enable_model_gradients({"blok_1"}); },
              ThrowsMessage<PlanError>(HasSubstr("no parameter whose name begins with 'blok_1'")));
  saved->enable_model_gradients({"block_1.out"});
  EXPECT_EQ(saved->trained_parts(), (std::set<std::string>{"block_1.out.weight", "block_1.out.bias"}));
  EXPECT_EQ(saved->trainable_parameters().size(), 3U);
  {
    const torch::NoGradGuard no_grad;
    model_->named_parameters()["block_1.out.weight"].add_(1);
  }
  saved->save(folder_.string());
  const auto fresh = ToyModel::make();
  const auto loaded = load(fresh);
  EXPECT_THAT(warnings_, IsEmpty()) << "the trained parts are no part of the fingerprint";
  EXPECT_TRUE(
      torch::equal(fresh->named_parameters()["block_1.out.weight"], model_->named_parameters()["block_1.out.weight"]));
  // What was loaded with parts is saved with them, and so is what has stopped training.
  const vene_test::TestFolder again;
  loaded->save(again.path());
  saved->disable_model_gradients();
  EXPECT_THAT(saved->trained_parts(), IsEmpty());
  const vene_test::TestFolder stopped;
  saved->save(stopped.path());
  for (const vene_test::TestFolder* folder : {&again, &stopped}) {
    const auto model = ToyModel::make();
    IntervenableModelImpl::load(folder->path(), model);
    EXPECT_TRUE(torch::equal(model->named_parameters()["block_1.out.weight"],
                             model_->named_parameters()["block_1.out.weight"]));
  }
  EXPECT_THAT(
      [&] { loaded->save_pyvene(again.path()); },
      ThrowsMessage<IoError>(HasSubstr("parts of the model were trained along (block_1.out.bias is the first)")));
}

TEST_F(SavingTest, LinkedInterventionsThatAskForDifferentThingsAreRefused) {
  const auto message = [&](const std::string& first, const std::string& second, const std::string& field) {
    const std::string config = R"([{"layer": 0, "intervention_link_key": "r", )" + first +
                               R"(}, {"layer": 2, "intervention_link_key": "r", )" + second + "}]";
    EXPECT_THAT(
        [&] { make(config); },
        ThrowsMessage<ConfigError>(HasSubstr(
            "representations[1] shares the intervention of representations[0] (intervention_link_key), but its " +
            field + " differs")))
        << config;
  };
  const std::string rotation = R"("intervention_type": "rotated_space")",
                    low = R"("intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2)";
  message(rotation, low, "intervention_type");
  message(low, R"("intervention_type": "low_rank_rotated_space", "low_rank_dimension": 3)", "low_rank_dimension");
  message(rotation + R"(, "map": "cayley")", rotation + R"(, "map": "householder")", "map");
  message(rotation + R"(, "subspace_partition": [[0, 3]])", rotation + R"(, "subspace_partition": [[0, 4]])",
          "subspace_partition");
  message(R"("source_representation": [1, 2, 3, 4, 5, 6])", R"("source_representation": [1, 2, 3, 4, 5, 7])",
          "source_representation");
  message(rotation, rotation + R"(, "max_number_of_units": 2)", "width");
  // What the second leaves out is the first's.
  make(R"([{"layer": 0, "intervention_link_key": "r", "seed": 1, "map": "cayley", "intervention_type": "rotated_space"},
           {"layer": 2, "intervention_link_key": "r", "intervention_type": "rotated_space"}])");
}

TEST_F(SavingTest, ColumnsAndSizesThatCannotBeAreRefusedWhenInterventionsAreBuilt) {
  const auto message = [&](const std::string& config, const char* text) {
    EXPECT_THAT([&] { make(config); }, ThrowsMessage<ConfigError>(HasSubstr(text))) << config;
  };
  message(R"({"representations": [{}, {"intervention_type": "rotated_space"}], "intervention_dimensions": [6, 7]})",
          "intervention_dimensions[1]: expected at most the width, 6, got 7");
  message(R"([{"subspace_partition": [[0, 2], [2, 9]]}])",
          "representations[0].subspace_partition[1]: column 6 is out of range: there are 6");
  message(
      R"([{"intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "subspace_partition": [[0, 3]]}])",
      "representations[0].subspace_partition[0]: column 2 is out of range: there are 2");
  message(R"([{"intervention_type": "autoencoder", "latent_dim": 9, "latents": [1.5]}])",
          "latents[0]: expected an integer, got 1.5");
  message(R"([{"intervention_type": "autoencoder", "latent_dim": 9, "latents": [9]}])",
          "latents: 9 is out of range: there are 9");
  message(R"([{"intervention_type": "directions", "count": 10000000000000}])",
          "representations[0]: the tensors of 'directions' do not fit into memory at a width of 6");
  message(R"([{"intervention_type": "autoencoder", "latent_dim": 1000000000000000}])",
          "the tensors of 'autoencoder' do not fit into memory");
  message(R"([{"intervention_type": "rotated_space", "max_number_of_units": 4000000000000000000}])",
          "representations[0].max_number_of_units: 4000000000000000000 units of width 6 are more than can be counted");
}

TEST_F(SavingTest, ErrorsNameTheFileAndTheTensor) {
  make(R"([{"layer": 1, "intervention_type": "sigmoid_mask"}])")->save(folder_.string());
  const std::string file = (folder_ / "interventions.safetensors").string();
  const std::string key = "layer_1_comp_block_output_unit_pos_nunit_1#0.";
  auto message = [&](const io::NamedTensors& tensors, const char* text) {
    io::write_safetensors(file, tensors);
    EXPECT_THAT([&] { load(model_); }, ThrowsMessage<IoError>(HasSubstr(text)));
  };
  message(
      {{key + "mask", torch::zeros({6})}},
      "interventions.safetensors: layer_1_comp_block_output_unit_pos_nunit_1#0: the tensor 'temperature' is missing");
  message(
      {{key + "mask", torch::zeros({6})}, {key + "temperature", torch::tensor(1.F)}, {"other.mask", torch::zeros({6})}},
      "the tensor 'other.mask' belongs to no representation of config.json");
  message({{key + "mask", torch::zeros({7})}, {key + "temperature", torch::tensor(1.F)}},
          "the tensor 'mask' has shape [7], expected [6]");
  std::string config = io::read_file((folder_ / "config.json").string());
  config.replace(config.find("\"format_version\": 1"), 19, "\"format_version\": 2");
  io::write_file((folder_ / "config.json").string(), config);
  EXPECT_THAT([&] { load(model_); }, ThrowsMessage<ConfigError>(HasSubstr("this file has version 2")));
}

}  // namespace
}  // namespace vene
