// SPDX-License-Identifier: Apache-2.0
// `vene run`: every way to write an experiment, held against the library's own run of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "vene/models/mlp.h"
#include "vene/vene.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;
using Json = nlohmann::json;

const Json kNeedle = {{"text", {"The Space Needle is in downtown"}}};
const Json kColosseum = {{"text", {"The Colosseum is in downtown"}}};

Json at_layer(int layer, const std::string& type = "vanilla", const std::string& component = "block_output") {
  return {{"layer", layer}, {"component", component}, {"intervention_type", type}};
}

std::vector<std::string> names_of(const vene::io::NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

// Runs an experiment by the command and by the library, expects the same tensors, and returns them.
vene::io::NamedTensors run_both(const TestFolder& folder, const Json& experiment,
                                const std::string& model = bundled_model()) {
  vene_test::write_text(folder / "experiment.json", experiment.dump());
  const Outcome outcome = vene_command({"run", "-m", model, folder / "experiment.json", "-o", folder / "out"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, IsEmpty());
  if (outcome.status != 0) return {};
  const auto written = vene::io::read_tensors(folder / "out/experiment.safetensors");
  const auto lm = vene::models::load(model);
  const torch::NoGradGuard no_grad;
  const auto expected =
      vene::result_tensors(vene::run_experiment(vene::load_experiment(folder / "experiment.json", lm), lm));
  EXPECT_THAT(names_of(written), testing::UnorderedElementsAreArray(names_of(expected)));
  for (const auto& [name, tensor] : written) {
    const auto found = std::find_if(expected.begin(), expected.end(),
                                    [&, &wanted = name](const auto& entry) { return entry.first == wanted; });
    if (found == expected.end()) continue;
    EXPECT_EQ(tensor.sizes(), found->second.sizes()) << name;
    EXPECT_TRUE(torch::allclose(tensor, found->second, 1e-5, 1e-5)) << name;
  }
  return written;
}

torch::Tensor named(const vene::io::NamedTensors& tensors, const std::string& name) {
  for (const auto& [other, tensor] : tensors) {
    if (other == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return torch::zeros({1, 1, 1});
}

TEST(Run, WritesOneFileAnExperimentUnderItsName) {
  const TestFolder folder;
  const std::string first = vene_test::source_path("examples/experiments/interchange.json"),
                    second = vene_test::source_path("examples/experiments/read_and_zero.json");
  const Outcome outcome = vene_command({"run", "-m", bundled_model(), first, second, "-o", folder / "new/out"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(vene_test::names_below(folder / "new/out"),
              ElementsAre("interchange.safetensors", "read_and_zero.safetensors"));
  EXPECT_EQ(outcome.out,
            folder / "new/out/interchange.safetensors: original.logits [1, 6, 2048], intervened.logits [1, 6, 2048]\n" +
                (folder / "new/out/read_and_zero.safetensors") +
                ": original.logits [2, 8, 2048], intervened.logits [2, 8, 2048], collected.0 [2, 1, 128]\n");
  const auto lm = vene::models::load(bundled_model());
  EXPECT_EQ(lm.top_tokens(
                  named(vene::io::read_tensors(folder / "new/out/interchange.safetensors"), "intervened.logits"), 1)[0]
                .text,
            " Rome");
}

TEST(Run, SaysWhatItDidAsJson) {
  const TestFolder folder;
  const Outcome outcome =
      vene_command({"run", "-m", bundled_model(), vene_test::source_path("examples/experiments/interchange.json"), "-o",
                    folder / "out", "--json"});
  const Json said = Json::parse(outcome.out);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0]["name"], "interchange");
  EXPECT_EQ(said[0]["file"], folder / "out/interchange.safetensors");
  EXPECT_EQ(said[0]["tensors"]["intervened.logits"], Json({1, 6, 2048}));
  EXPECT_EQ(said[0]["fired"].size(), 1U);
}

TEST(Run, PlanPrintsWhatWouldRunAndWritesNothing) {
  const TestFolder folder;
  const Outcome outcome =
      vene_command({"run", "-m", bundled_model(), vene_test::source_path("examples/experiments/interchange.json"), "-o",
                    folder / "out", "--plan"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("transformer.h.4.output"));
  EXPECT_THAT(vene_test::names_below(folder.path()), IsEmpty());
}

TEST(Run, PlanTellsAGenerationAndWhenItsInterventionsAct) {
  const TestFolder folder;
  const Json config = Json::array({{{"layer", 1}, {"intervention_type", "zero"}, {"when", "decode"}},
                                   {{"layer", 2}, {"intervention_type", "zero"}}});
  const std::string path =
      folder.write("e.json", Json{{"config", config}, {"base", kNeedle}, {"generate", {{"max_new_tokens", 3}}}}.dump());
  const Outcome outcome = vene_command({"run", "-m", bundled_model(), path, "--plan"});
  EXPECT_THAT(outcome.out, testing::StartsWith("e: a generation\n"));
  EXPECT_THAT(outcome.out, HasSubstr(", when: decode\n"));
  EXPECT_THAT(outcome.out, HasSubstr(", when: both\n"));
  const Json said = Json::parse(vene_command({"run", "-m", bundled_model(), path, "--plan", "--json"}).out);
  EXPECT_EQ(said[0]["name"], "e");
  EXPECT_EQ(said[0]["generates"], true);
  EXPECT_EQ(said[0]["plan"][0], "base");
  EXPECT_THAT(said[0]["plan"][1].get<std::string>(), HasSubstr("when: decode"));
}

TEST(Run, TextAndTokenIdsAndMaskedTokenIdsAreTheSameInput) {
  const TestFolder folder;
  const auto lm = vene::models::load(bundled_model());
  const auto ids = lm.tokenizer->encode("The Space Needle is in downtown");
  std::vector<std::int64_t> padded{0, 0}, mask{0, 0};
  padded.insert(padded.end(), ids.begin(), ids.end());
  mask.insert(mask.end(), ids.size(), 1);
  const auto experiment = [&](const Json& base) {
    return Json{{"config", Json::array({at_layer(4)})},
                {"base", base},
                {"sources", {kColosseum}},
                {"unit_locations", {{"base", "last"}}},
                {"output_original_output", false}};
  };
  const auto last = [](const vene::io::NamedTensors& tensors) {
    return named(tensors, "intervened.logits").select(1, -1);
  };
  const auto by_text = run_both(folder, experiment(kNeedle)),
             by_ids = run_both(folder, experiment({{"input_ids", {ids}}}));
  const auto by_mask = run_both(folder, experiment({{"input_ids", {padded}}, {"attention_mask", {mask}}}));
  EXPECT_THAT(names_of(by_text), ElementsAre("intervened.logits"));
  EXPECT_TRUE(torch::equal(last(by_text), last(by_ids)));
  EXPECT_TRUE(torch::allclose(last(by_text), last(by_mask), 1e-4, 1e-4));
}

TEST(Run, NullSourcesLeaveTheirInterventionsOut) {
  const TestFolder folder;
  const Json both = Json::array({at_layer(1), at_layer(4)});
  const Json locations = {{"sources->base", "last"}};
  const auto one = run_both(
      folder, {{"config", both}, {"base", kNeedle}, {"sources", {nullptr, kColosseum}}, {"unit_locations", locations}});
  const auto alone = run_both(folder, {{"config", Json::array({at_layer(4)})},
                                       {"base", kNeedle},
                                       {"sources", {kColosseum}},
                                       {"unit_locations", locations}});
  EXPECT_TRUE(torch::allclose(named(one, "intervened.logits"), named(alone, "intervened.logits"), 1e-5, 1e-5));
}

TEST(Run, SourceRepresentationsMayBeListsObjectsOrFiles) {
  const TestFolder folder;
  std::vector<double> constant(128);
  for (std::size_t i = 0; i < constant.size(); ++i) constant[i] = 0.01 * static_cast<double>(i);
  vene::io::write_safetensors(folder / "constants.safetensors", {{"0", torch::tensor(constant, torch::kFloat32)}});
  const Json config = Json::array({at_layer(2, "addition")});
  const std::string key = vene::representation_keys(vene::IntervenableConfig::parse(config.dump())).at(0);
  const auto with = [&](const Json& given) {
    return named(run_both(folder, {{"config", config},
                                   {"base", kNeedle},
                                   {"unit_locations", {{"base", "last"}}},
                                   {"source_representations", given}}),
                 "intervened.logits");
  };
  const torch::Tensor plain = with(constant);
  EXPECT_TRUE(torch::equal(plain, with({{"0", constant}})));
  EXPECT_TRUE(torch::equal(plain, with({{key, constant}})));
  EXPECT_TRUE(torch::equal(plain, with({{"file", "constants.safetensors"}})));
  EXPECT_FALSE(torch::allclose(plain, with(Json(std::vector<double>(128, 0.0))), 1e-3, 1e-3));
}

TEST(Run, AConfigMayBeASavedFolder) {
  const TestFolder folder;
  const auto lm = vene::models::load(bundled_model());
  vene::IntervenableModel saved(vene::IntervenableConfig::parse(Json::array({at_layer(4)}).dump()), lm.model);
  saved->save(folder / "saved");
  const Json rest = {{"base", kNeedle}, {"sources", {kColosseum}}, {"unit_locations", {{"base", "last"}}}};
  Json by_folder = rest, by_object = rest;
  by_folder["config"] = "saved";
  by_object["config"] = Json::array({at_layer(4)});
  EXPECT_TRUE(torch::equal(named(run_both(folder, by_folder), "intervened.logits"),
                           named(run_both(folder, by_object), "intervened.logits")));
}

TEST(Run, SerialModeTakesOneEntryAHop) {
  const TestFolder folder;
  const auto tensors =
      run_both(folder, {{"config", {{"mode", "serial"}, {"representations", {at_layer(1), at_layer(4)}}}},
                        {"base", kNeedle},
                        {"sources", {kColosseum, {{"text", {"The Eiffel Tower is in the city of"}}}}},
                        {"unit_locations", {{"source_0->source_1", "last"}, {"source_1->base", "last"}}}});
  EXPECT_FALSE(torch::equal(named(tensors, "original.logits"), named(tensors, "intervened.logits")));
}

TEST(Run, CollectedValuesComeInTheOrderOfTheConfig) {
  const TestFolder folder;
  const Json config = Json::array({at_layer(3, "collect"), at_layer(0, "zero", "mlp_output"), at_layer(1, "collect")});
  const auto tensors =
      run_both(folder, {{"config", config}, {"base", kNeedle}, {"unit_locations", {{"base", "last"}}}});
  EXPECT_THAT(names_of(tensors),
              testing::UnorderedElementsAre("original.logits", "intervened.logits", "collected.0", "collected.1"));
  const auto only = run_both(folder, {{"config", Json::array({at_layer(1, "collect")})},
                                      {"base", kNeedle},
                                      {"collect_only", true},
                                      {"output_original_output", false}});
  EXPECT_THAT(names_of(only), ElementsAre("collected.0"));
  EXPECT_EQ(named(only, "collected.0").sizes(), (std::vector<std::int64_t>{1, 6, 128}));
}

TEST(Run, RaggedCollectionsSayWhichUnitsARowHas) {
  const TestFolder folder;
  const auto tensors =
      run_both(folder, {{"config", Json::array({at_layer(1, "collect")})},
                        {"base", {{"text", {"The Space Needle is in downtown", "The Colosseum is in downtown"}}}},
                        {"unit_locations", {{"base", {{0, 1}, {2}}}}}});
  EXPECT_EQ(named(tensors, "collected.0").sizes(), (std::vector<std::int64_t>{2, 2, 128}));
  EXPECT_TRUE(torch::equal(named(tensors, "collected.0.valid").to(torch::kInt64), torch::tensor({{1, 1}, {1, 0}})));
}

TEST(Run, AModelWithoutAHeadGivesItsLastHiddenState) {
  const TestFolder folder;
  const auto tensors = run_both(folder,
                                {{"config", Json::array({at_layer(0)})},
                                 {"base", {{"input_ids", {{1, 2, 3}}}}},
                                 {"sources", {{{"input_ids", {{3, 2, 1}}}}}},
                                 {"unit_locations", {{"base", 1}}}},
                                vene_test::source_path("tests/golden/models/gpt2_headless"));
  EXPECT_THAT(names_of(tensors),
              testing::UnorderedElementsAre("original.last_hidden_state", "intervened.last_hidden_state"));
}

TEST(Run, AnMlpTakesInputsEmbeds) {
  const TestFolder folder;
  std::filesystem::create_directory(folder / "mlp");
  vene_test::write_text(
      folder / "mlp/config.json",
      R"({"model_type": "mlp", "h_dim": 4, "n_layer": 2, "num_classes": 3, "activation_function": "relu"})");
  vene::models::MLPClassifier mlp({.h_dim = 4, .n_layer = 2, .num_classes = 3, .activation_function = "relu"});
  vene::io::NamedTensors weights;
  for (const auto& parameter : mlp.named_parameters())
    weights.emplace_back(parameter.key(), parameter.value().detach().contiguous());
  vene::io::write_safetensors(folder / "mlp/model.safetensors", weights);
  const Json rows = {{"inputs_embeds", {{{1, 2, 3, 4}}, {{4, 3, 2, 1}}}}};
  const auto tensors = run_both(folder,
                                {{"config", Json::array({at_layer(0)})},
                                 {"base", rows},
                                 {"sources", {{{"inputs_embeds", {{{0, 0, 1, 1}}, {{1, 1, 0, 0}}}}}}},
                                 {"unit_locations", {{"base", 0}}}},
                                folder / "mlp");
  EXPECT_EQ(named(tensors, "intervened.logits").size(-1), 3);
}

TEST(Run, HalfPrecisionIsWrittenAsItIs) {
  const TestFolder folder;
  const Outcome outcome =
      vene_command({"run", "-m", bundled_model(), vene_test::source_path("examples/experiments/interchange.json"), "-o",
                    folder / "out", "--dtype", "bf16"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(named(vene::io::read_tensors(folder / "out/interchange.safetensors"), "intervened.logits").scalar_type(),
            torch::kBFloat16);
}

TEST(Run, TwoExperimentsOfOneNameAreRefused) {
  const TestFolder folder;
  std::filesystem::create_directories(folder / "a");
  std::filesystem::create_directories(folder / "b");
  const std::string experiment = vene_test::read_text(vene_test::source_path("examples/experiments/interchange.json"));
  vene_test::write_text(folder / "a/one.json", experiment);
  vene_test::write_text(folder / "b/one.json", experiment);
  const Outcome outcome =
      vene_command({"run", "-m", bundled_model(), folder / "a/one.json", folder / "b/one.json", "-o", folder / "out"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("would both write one.safetensors; rename one"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

}  // namespace
