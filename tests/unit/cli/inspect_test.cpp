// SPDX-License-Identifier: Apache-2.0
// vene inspect: what is in a saved folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "unit/cli/saved_folders.h"
#include "vene/io/safetensors.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using vene_test::Outcome;
using vene_test::source_path;
using vene_test::TestFolder;
using vene_test::vene_command;
using Json = nlohmann::json;
namespace fs = std::filesystem;

const std::string kFirst = "layer_0_comp_block_output_unit_pos_nunit_1#0";

Json inspected(const std::string& folder) {
  const Outcome outcome = vene_command({"inspect", folder, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, IsEmpty());
  return Json::parse(outcome.out);
}

TEST(Inspect, JsonTellsSitesTypesTensorsAndSizes) {
  const TestFolder folder;
  vene_test::save_interventions(folder / "saved");
  const Json json = inspected(folder / "saved");
  EXPECT_EQ(json["format"], "vene");
  EXPECT_EQ(json["format_version"], 1);
  EXPECT_EQ(json["model"]["architecture"], "toy");
  EXPECT_EQ(json["model"]["hidden_size"], 6);
  EXPECT_EQ(json["mode"], "parallel");
  ASSERT_EQ(json["representations"].size(), 3U);
  const Json& first = json["representations"][0];
  EXPECT_EQ(first["key"], kFirst);
  EXPECT_EQ(first["type"], "low_rank_rotated_space");
  EXPECT_EQ(first["config"]["low_rank_dimension"], 2);
  EXPECT_EQ(first["parameters"], 12);
  EXPECT_EQ(first["needs_source"], true);
  ASSERT_EQ(first["tensors"].size(), 3U);
  const auto x = std::find_if(first["tensors"].begin(), first["tensors"].end(), [](const Json& one) {
    return one["name"] == "rotate_layer.parametrizations.weight.original";
  });
  ASSERT_NE(x, first["tensors"].end());
  EXPECT_EQ((*x)["shape"], Json({6, 2}));
  EXPECT_EQ((*x)["dtype"], "float32");
  EXPECT_EQ((*x)["bytes"], 48);
  EXPECT_EQ((*x)["parameter"], true);
  const Json& second = json["representations"][1];
  EXPECT_EQ(second["linked_to"], kFirst);
  EXPECT_EQ(second["parameters"], 0);
  EXPECT_THAT(second["tensors"], IsEmpty());
  const Json& third = json["representations"][2];
  EXPECT_EQ(third["constant_source"], true);
  EXPECT_EQ(third["parameters"], 0);
  EXPECT_EQ(third["tensors"][0]["name"], "source_representation");
  EXPECT_EQ(third["tensors"][0]["parameter"], false);
  std::vector<std::string> parts, files;
  for (const Json& part : json["model_parts"]) parts.push_back(part["name"]);
  EXPECT_THAT(parts, ElementsAre("block_1.out.bias", "block_1.out.weight"));
  EXPECT_EQ(json["parameters"], 12 + 36 + 6);
  for (const Json& file : json["files"]) {
    files.push_back(file["name"]);
    EXPECT_EQ(file["bytes"], fs::file_size(folder / "saved/" + files.back()));
  }
  EXPECT_THAT(files, ElementsAre("config.json", "interventions.safetensors", "model_parts.safetensors"));
}

TEST(Inspect, TheTextIsForPeople) {
  const TestFolder folder;
  vene_test::save_interventions(folder / "saved");
  const Outcome outcome = vene_command({"inspect", folder / "saved"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const char* line :
       {"format         vene, format version 1, written by vene ",
        "model          toy of 3 layers, width 6 and vocabulary 11 (weights ", "parameters     54\n",
        "\nlayer_0_comp_block_output_unit_pos_nunit_1#0\n", "  site           mlp_output of layer 2, unit pos\n",
        "  options        low_rank_dimension 2, intervention_link_key \"r\"\n", "  source         from a run\n",
        "  source         a constant\n", "  linked to      layer_0_comp_block_output_unit_pos_nunit_1#0\n",
        "  rotate_layer.parametrizations.weight.original  [6, 2]           float32            48 bytes\n",
        "24 bytes, no parameter\n", "\nparts of the model that trained along\n  parameters     42\n"}) {
    EXPECT_THAT(outcome.out, HasSubstr(line));
  }
}

TEST(Inspect, FoldersOfPyveneAreRead) {
  const Json constants = inspected(source_path("tests/golden/pyvene/saved_constants"));
  EXPECT_EQ(constants["format"], "pyvene");
  EXPECT_EQ(constants["vene_version"], nullptr);
  EXPECT_EQ(constants["representations"][0]["type"], "addition");
  EXPECT_EQ(constants["representations"][0]["constant_source"], true);
  const Json rotation = inspected(source_path("tests/golden/train/low_rank"));
  EXPECT_EQ(rotation["format"], "pyvene");
  EXPECT_EQ(rotation["representations"][0]["type"], "low_rank_rotated_space");
  EXPECT_GT(rotation["parameters"], 0);
}

TEST(Inspect, FoldersOfOlderVersionsOfPyveneTellTheirTensors) {
  for (const char* version : {"names_of_0_0_6", "names_of_0_1_2", "names_of_0_1_8"}) {
    const Json json = inspected(source_path("tests/golden/pyvene_old/") + version);
    EXPECT_EQ(json["format"], "pyvene") << version;
    EXPECT_EQ(json["parameters"], 48) << version;
    EXPECT_THAT(json["problems"], IsEmpty()) << version;
  }
}

TEST(Inspect, TensorsThatAreMissingExtraOrNotNumbersAreALineEach) {
  const TestFolder folder;
  vene_test::save_interventions(folder / "saved");
  const std::string file = folder / "saved/interventions.safetensors";
  vene::io::NamedTensors tensors = vene::io::read_tensors(file);
  const std::map<std::string, std::string> metadata = vene::io::Safetensors::open(file).metadata();
  EXPECT_THAT(inspected(folder / "saved")["problems"], IsEmpty());
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with(".map"); });
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.clone();
    if (name.ends_with(".original")) tensor[0][0] = std::nan("");
  }
  tensors.emplace_back("zz", torch::ones({2}));
  tensors.emplace_back(kFirst + ".more", torch::ones({2}));
  vene::io::write_safetensors(file, tensors, metadata);
  const Outcome outcome = vene_command({"inspect", folder / "saved"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const std::string& line :
       {"problem        '" + kFirst +
            ".rotate_layer.parametrizations.weight.original' holds values that are not numbers\n",
        "problem        '" + kFirst + ".rotate_layer.parametrizations.weight.0.map' is missing\n",
        std::string("problem        extra tensor 'zz': no representation of config.json asks for it\n"),
        "problem        extra tensor '" + kFirst + ".more': no representation of config.json asks for it\n"}) {
    EXPECT_THAT(outcome.out, HasSubstr(line));
  }
  // An archive of pyvene's.
  fs::create_directory(folder / "pyvene");
  fs::copy_file(source_path("tests/golden/train/low_rank/config.json"), folder / "pyvene/config.json");
  EXPECT_EQ(inspected(folder / "pyvene")["problems"],
            Json({"'intkey_layer_1_comp_block_output_unit_pos_nunit_1#0.bin' is missing"}));
}

TEST(Inspect, AFolderThatIsNoneIsOneLine) {
  const TestFolder folder;
  const auto refused = [&](const std::string& path, const std::string& what) {
    const Outcome outcome = vene_command({"inspect", path});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_THAT(outcome.err, HasSubstr(what));
    EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
  };
  refused(folder / "absent", "absent: no such folder");
  refused(folder.path(), "holds no saved interventions: there is no config.json");
  vene_test::write_text(folder / "file", "x");
  refused(folder / "file", "file: is a file, expected a folder of saved interventions");
  refused(
      vene_test::bundled_model(),
      "config.json: says nothing of interventions, there are no 'representations' (it is a model's: see vene info)");
  vene_test::write_text(folder / "config.json", "{");
  refused(folder.path(), "config.json: not JSON");
  vene_test::save_interventions(folder / "saved");
  fs::remove(folder / "saved/interventions.safetensors");
  refused(folder / "saved", "interventions.safetensors: is missing, and config.json says that it was saved with it");
  vene_test::write_text(folder / "saved/interventions.safetensors", "cut");
  refused(folder / "saved", "interventions.safetensors");
}

}  // namespace
