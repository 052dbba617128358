// SPDX-License-Identifier: Apache-2.0
// Bad checkpoints, bad experiments, bad disks: one clear line each, exit status 1, nothing written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "vene/io/safetensors.h"

namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;
namespace fs = std::filesystem;

void expect_refused(const Outcome& outcome, const std::string& what) {
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_THAT(outcome.err, testing::StartsWith("vene: "));
  EXPECT_THAT(outcome.err, HasSubstr(what));
  EXPECT_THAT(outcome.err, testing::Not(HasSubstr("json.exception")));
}

// A copy of the bundled model, in which links stand for the files that a test does not replace.
class Checkpoint {
 public:
  Checkpoint() {
    for (const auto& entry : fs::directory_iterator(bundled_model()))
      fs::create_symlink(entry.path(), folder_ / entry.path().filename().string());
  }
  const std::string& path() const { return folder_.path(); }
  void remove(const std::string& name) { fs::remove(folder_ / name); }
  void write(const std::string& name, const std::string& text) {
    remove(name);
    vene_test::write_text(folder_ / name, text);
  }
  void write_weights(const std::function<void(vene::io::NamedTensors&)>& change) {
    vene::io::NamedTensors tensors = vene::io::read_tensors(bundled_model() + "/model.safetensors");
    change(tensors);
    remove("model.safetensors");
    vene::io::write_safetensors(folder_ / "model.safetensors", tensors);
  }
  // Every command that loads a model says the same.
  void expect_refused_with(const std::string& what) const {
    expect_refused(vene_command({"sites", path()}), what);
    const TestFolder out;
    expect_refused(vene_command({"run", "-m", path(), vene_test::source_path("examples/experiments/interchange.json"),
                                 "-o", out / "out"}),
                   what);
    expect_refused(vene_command({"trace", "-m", path(), "-p", "The Space Needle is in downtown", "--subject", "Needle",
                                 "-o", out / "out"}),
                   what);
    EXPECT_THAT(vene_test::names_below(out.path()), IsEmpty());
  }

 private:
  TestFolder folder_;
};

// A safetensors file with this header and so many bytes of data.
std::string safetensors_text(const std::string& header, std::size_t data, std::uint64_t claimed = 0) {
  const std::uint64_t length = claimed == 0 ? header.size() : claimed;
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

TEST(BadCheckpoint, MissingFolderAndMissingFiles) {
  expect_refused(vene_command({"info", "/nowhere/at/all"}), "/nowhere/at/all: no such folder");
  expect_refused(vene_command({"sites", "/nowhere/at/all"}), "/nowhere/at/all: no such folder");
  Checkpoint weightless;
  weightless.remove("model.safetensors");
  weightless.expect_refused_with("expected model.safetensors, model.safetensors.index.json");
  expect_refused(vene_command({"info", weightless.path()}), "expected model.safetensors");
  Checkpoint configless;
  configless.remove("config.json");
  configless.expect_refused_with("config.json");
}

TEST(BadCheckpoint, ConfigThatIsNotJsonOrOfAnUnknownArchitecture) {
  Checkpoint checkpoint;
  checkpoint.write("config.json", "{\"model_type\": \"gpt2\",\n \"n_layer\": }");
  checkpoint.expect_refused_with("config.json");
  expect_refused(vene_command({"info", checkpoint.path()}), "line 2");
  checkpoint.write("config.json", R"({"model_type": "gpt2", "unused": )" + std::string(200'000, '[') +
                                      std::string(200'000, ']') + "}");
  checkpoint.expect_refused_with("config.json: JSON nested deeper than 64");
  expect_refused(vene_command({"info", checkpoint.path()}), "config.json: JSON nested deeper than 64");
  checkpoint.write("config.json", R"({"model_type": "gpt2", "n_layer": 6, "n_layer": 5})");
  expect_refused(vene_command({"info", checkpoint.path()}), "config.json: key 'n_layer' is given twice in one object");
  checkpoint.write("config.json", R"({"model_type": "gpt5"})");
  checkpoint.expect_refused_with("unsupported model_type 'gpt5'; supported: gpt2, ");
}

TEST(BadCheckpoint, CorruptedSafetensors) {
  const std::vector<std::pair<std::string, std::string>> files{
      {safetensors_text("{}", 0, 10'000), "says that its header takes 10000 bytes"},
      {safetensors_text(
           R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
           8),
       "overlaps tensor 'a'"},
      {safetensors_text(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8), "'F33'"},
      {safetensors_text(R"({"a":{"dtype":"F32",})", 8), "model.safetensors"},
      {vene_test::read_text(bundled_model() + "/model.safetensors").substr(0, 1'000'000), "it was cut or is damaged"},
      {"", "only 0 bytes"}};
  for (const auto& [bytes, what] : files) {
    Checkpoint checkpoint;
    checkpoint.write("model.safetensors", bytes);
    expect_refused(vene_command({"sites", checkpoint.path()}), what);
    expect_refused(vene_command({"info", checkpoint.path()}), what);
  }
}

TEST(BadCheckpoint, APickleThatAsksForAForbiddenGlobal) {
  Checkpoint checkpoint;
  checkpoint.remove("model.safetensors");
  checkpoint.write("pytorch_model.bin", vene_test::read_text(vene_test::source_path("tests/golden/io/command.pt")));
  checkpoint.expect_refused_with("posix.system");
}

TEST(BadCheckpoint, TensorsMissingExtraOrOfTheWrongShape) {
  Checkpoint missing, extra, wrong;
  missing.write_weights([](auto& tensors) {
    std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with("h.3.mlp.c_fc.bias"); });
  });
  missing.expect_refused_with("h.3.mlp.c_fc.bias");
  extra.write_weights([](auto& tensors) { tensors.emplace_back("transformer.surprise", torch::zeros({2})); });
  extra.expect_refused_with("transformer.surprise");
  wrong.write_weights([](auto& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with("h.3.mlp.c_fc.bias")) tensor = torch::zeros({7});
    }
  });
  wrong.expect_refused_with("expected [512]");
}

TEST(BadCheckpoint, NaNsInWeightsAreAWarning) {
  Checkpoint checkpoint;
  checkpoint.write_weights([](auto& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.ends_with("h.3.mlp.c_fc.bias")) tensor = torch::full({512}, std::numeric_limits<float>::quiet_NaN());
    }
  });
  const Outcome outcome = vene_command({"sites", checkpoint.path()});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err,
              HasSubstr("1 tensor holds values that are NaN or infinite: transformer.h.3.mlp.c_fc.bias (512)"));
}

struct BadExperiment {
  const char* name;
  std::string text, says;
};

std::string experiment(const std::string& representations,
                       const std::string& rest = R"("sources": [{"text": "The Colosseum is in downtown"}])",
                       const std::string& base = R"({"text": "The Space Needle is in downtown"})") {
  return R"({"config": [)" + representations + R"(], "base": )" + base + ", " + rest + "}";
}

std::vector<BadExperiment> bad_experiments() {
  const std::string block = R"({"layer": 2, "component": "block_output"})",
                    source = R"("sources": [{"text": "The Colosseum is in downtown"}], )";
  const std::string ids = R"("unit_locations": {"base": 0}, "sources": [{"input_ids": [[1]]}])";
  std::string endless = "1";
  for (int i = 0; i < 200; ++i) endless += ",1";
  return {
      {"NotJson", "{\n  \"config\": [],\n  \"base\": }\n", "experiment: not JSON: line 3, column 11: "},
      {"CutJson", "{\"config\": [", "not JSON: line 1, column 13: "},
      {"Empty", "", "not JSON: line 1, column 1: "},
      {"KeyTwice", R"({"config": [], "config": []})", "key 'config' is given twice in one object"},
      {"TooDeep", std::string(2000, '['), "nested deeper than 64"},
      {"UnknownKey", R"({"confg": [], "base": {}})", "unknown key 'confg'; did you mean 'config'?"},
      {"NoBase", R"({"config": [{}]})", "'base' is missing"},
      {"NoRepresentations", R"({"config": [], "base": {"text": "x"}})", "at least one representation"},
      {"UnknownIntervention", experiment(R"({"intervention_type": "vanila"})"),
       "unknown intervention type 'vanila'; did you mean 'vanilla'?"},
      {"UnknownUnit", experiment(R"({"unit": "poss"})"), "unknown unit 'poss'; did you mean 'pos'?"},
      {"UnknownField", experiment(R"({"layr": 2})"), "unknown field 'layr'; did you mean 'layer'?"},
      {"UnknownComponent", experiment(R"({"component": "blok_output"})"),
       "no component 'blok_output'; did you mean 'block_output'"},
      {"UnknownLayer", experiment(R"({"layer": 6})"), "layers are 0 to 5"},
      {"UnknownPath", experiment(R"({"component": "transformer.h.9.output"})"), "transformer.h.9.output"},
      {"UnitWithoutHeads", experiment(R"({"unit": "h"})", source + R"("unit_locations": {"base": 0})"),
       "needs a value with heads"},
      {"OutOfRange", experiment(block, source + R"("unit_locations": {"base": 17})"), "position 17 is out of range"},
      {"OutOfRangeInTheSource", experiment(block, source + R"("unit_locations": {"sources->base": [-99, 1]})"),
       "position -99 is out of range"},
      {"WrongDepth", experiment(block, source + R"("unit_locations": {"base": [[[[[1]]]]]})"), "unit_locations.base"},
      {"WrongBatch", experiment(block, source + R"("unit_locations": {"base": [[1], [1], [1]]})"),
       "locations for 3 rows, but the batch has 1"},
      {"WrongCountOfInterventions", experiment(block, source + R"("unit_locations": {"base": [[[1]], [[1]]]})"),
       "locations for 2 interventions, expected 1"},
      {"UnitTwice", experiment(block, source + R"("unit_locations": {"base": [1, 1]})"), "the same unit twice"},
      {"UnknownPositionName", experiment(block, source + R"("unit_locations": {"base": "lst"})"),
       "unknown position 'lst'; did you mean 'last'?"},
      {"TokenNotThere", experiment(block, source + R"("unit_locations": {"base": {"token": " Lily"}})"),
       "token ' Lily'"},
      {"UnknownHop", experiment(block, source + R"("unit_locations": {"source_0->base": 1})"),
       "no hop 'source_0->base' in parallel mode"},
      {"TooManySources", experiment(block, R"("sources": [{"text": "a"}, {"text": "b"}])"),
       "sources: 2 given, expected 1"},
      {"NoSource", experiment(block, R"("unit_locations": {"base": 1})"), "needs a source, and none is given"},
      {"SourceWhereNoneIsWanted",
       experiment(R"({"intervention_type": "zero"})", source + R"("unit_locations": {"base": 1})"),
       "no intervention takes one"},
      {"SourceOfOtherRows",
       experiment(block, R"("sources": [{"text": ["a", "b", "c"]}], "unit_locations": {"base": 0})",
                  R"({"text": ["The Space", "The Needle"]})"),
       "its source has 3 rows"},
      {"TokenOutOfRange", experiment(block, ids, R"({"input_ids": [[1, 2048]]})"), "token id 2048"},
      {"NegativeToken", experiment(block, ids, R"({"input_ids": [[1, -3]]})"), "token id -3"},
      {"NoWholeToken", experiment(block, ids, R"({"input_ids": [[1, 2.5]]})"),
       "base.input_ids[0][1]: expected a token id, got 2.5"},
      {"PromptTooLong", experiment(block, ids, R"({"input_ids": [[)" + endless + "]]}"), "201 positions"},
      {"MaskOfOtherShape", experiment(block, ids, R"({"input_ids": [[1, 2]], "attention_mask": [[1]]})"),
       "base.attention_mask: expected shape [1, 2]"},
      {"MaskOfOtherNumbers", experiment(block, ids, R"({"input_ids": [[1, 2]], "attention_mask": [[1, 2]]})"),
       "expected only 0 and 1"},
      {"TextAndTokenIds", experiment(block, ids, R"({"input_ids": [[1, 2]], "text": "x"})"), "expected exactly one of"},
      {"EmptyText", experiment(block, ids, R"({"text": ""})"), "no tokens"},
      {"SubspaceOutOfRange", experiment(block, source + R"("unit_locations": {"base": 1}, "subspaces": [500])"), "500"},
      {"SubspaceOfNothing", experiment(block, source + R"("unit_locations": {"base": 1}, "subspaces": [[[]]])"),
       "subspaces[0]: expected at least one column or part in some row (null stands for all of them), got [[]]"},
      {"ConstantOfAnotherWidth",
       experiment(block, R"("unit_locations": {"base": 1}, "source_representations": [1, 2, 3])"), "[3]"},
      {"ConstantForNobody", experiment(block, R"("unit_locations": {"base": 1}, "source_representations": {"1": [1]})"),
       "no representation 1; there are 1"},
      {"ConstantFileMissing",
       experiment(block, R"("unit_locations": {"base": 1}, "source_representations": {"file": "none.safetensors"})"),
       "none.safetensors"},
      {"ConfigFolderMissing", R"({"config": "no folder", "base": {"text": "x"}})", "no folder"},
      {"FlagThatIsNone", experiment(block, source + R"("collect_only": 1)"),
       "collect_only: expected true or false, got 1"},
      {"OnlyCollectingNothing", experiment(block, source + R"("unit_locations": {"base": 1}, "collect_only": true)"),
       "no intervention collects"},
  };
}

class BadExperiments : public testing::TestWithParam<BadExperiment> {};

TEST_P(BadExperiments, AreOneLineAndWriteNothing) {
  const TestFolder folder;
  vene_test::write_text(folder / "bad.json", GetParam().text);
  const std::string good = vene_test::source_path("examples/experiments/interchange.json");
  const Outcome outcome = vene_command({"run", "-m", bundled_model(), good, folder / "bad.json", "-o", folder / "out"});
  expect_refused(outcome, GetParam().says);
  EXPECT_THAT(outcome.err, HasSubstr("bad.json: "));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

INSTANTIATE_TEST_SUITE_P(Each, BadExperiments, testing::ValuesIn(bad_experiments()),
                         [](const auto& instance) { return std::string(instance.param.name); });

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

TEST(BadExperiment, WhateverReadsItSeesKeysGivenTwiceAndDeepNesting) {
  const TestFolder folder;
  const std::string twice =
      R"({"config": [{"intervention_type": "zero"}], "unit_locations": {"base": 0}, "unit_locations": {"base": 1}})";
  vene_test::write_text(folder / "twice.json", twice);
  vene_test::write_text(folder / "deep.json",
                        R"({"config": [{"intervention_type": "zero"}], "description": )" + nested(200'000) + "}");
  for (const std::string& name : {std::string("twice.json"), std::string("deep.json")}) {
    const std::string what = name + (name == "deep.json" ? ": JSON nested deeper than 64"
                                                         : ": key 'unit_locations' is given twice in one object");
    expect_refused(
        vene_command({"generate", "-m", bundled_model(), "-p", "The Space", "--config", folder / name, "-n", "1"}),
        what);
  }
  expect_refused(vene_command({"run", "-m", bundled_model(), folder / "deep.json", "-o", folder / "out"}),
                 "deep.json: experiment: JSON nested deeper than 64");
  expect_refused(vene_command({"locate", "-m", bundled_model(), "--task", folder / "deep.json", "-o", folder / "out"}),
                 "JSON nested deeper than 64");
}

TEST(BadExperiment, AnErrorInAConfigOfGenerateIsNamedLikeThatOfRun) {
  const TestFolder folder;
  vene_test::write_text(folder / "bad.json", R"([{"layr": 1}])");
  expect_refused(vene_command({"generate", "-m", bundled_model(), "-p", "a", "--config", folder / "bad.json"}),
                 "bad.json: representations[0]: unknown field 'layr'; did you mean 'layer'?");
}

TEST(BadExperiment, CountsBeyondAllMeaningAreRefusedByName) {
  std::string parts = "[[0, 16777216]";
  for (int i = 1; i < 200; ++i) parts += ", [0, 16777216]";
  const std::vector<std::pair<std::string, std::string>> cases{
      {experiment(R"({"intervention_type": "directions", "count": 67108864})"), "representations[0]: "},
      {experiment(R"({"intervention_type": "autoencoder", "latent_dim": 134217728})"), "representations[0]"},
      {experiment(R"({"intervention_type": "jump_relu_autoencoder", "low_rank_dimension": 134217728})"),
       "representations[0]"},
      {experiment(R"({"subspace_partition": )" + parts + "]}"),
       "representations[0].subspace_partition[1]: the parts up to here name more than 16777216 columns"},
      {experiment(R"({"layer": 4611686018427387904})"), "layers are 0 to 5"},
      {experiment("{}", R"("generate": {"max_new_tokens": 4611686018427387904})"),
       "generate.max_new_tokens: expected at most 2147483647"}};
  for (const auto& [text, what] : cases) {
    const TestFolder folder;
    vene_test::write_text(folder / "bad.json", text);
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = vene_command({"run", "-m", bundled_model(), folder / "bad.json", "-o", folder / "out"});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr(what));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60)) << text.substr(0, 100);
  }
}

TEST(BadExperiment, WhatItNamesIsQuotedShort) {
  const std::string name(30'000, 'x'),
      source = R"("sources": [{"text": "The Colosseum is in downtown"}], "unit_locations": )";
  const std::vector<std::string> cases{experiment(R"({"component": ")" + name + "\"}"),
                                       experiment(R"({"component": "a.)" + name + "\"}"),
                                       experiment("{}", source + "{\"" + name + "->base\": 0}"),
                                       experiment("{}", source + R"({"base": {"token": ")" + name + "\"}}"),
                                       experiment("{}", "\"source_representations\": {\"" + name + "\": 1}"),
                                       R"({"config": ")" + name + R"(", "base": {"text": "x"}})"};
  for (const std::string& text : cases) {
    const TestFolder folder;
    vene_test::write_text(folder / "bad.json", text);
    const Outcome outcome = vene_command({"run", "-m", bundled_model(), folder / "bad.json", "-o", folder / "out"});
    expect_refused(outcome, "bad.json: ");
    EXPECT_LT(outcome.err.size(), 1000U) << outcome.err;
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("filesystem error")));
  }
}

TEST(BadExperiment, ManyRepresentationsTakeNoTimeThatGrowsWithTheirSquare) {
  std::string zeros = R"({"intervention_type": "zero"})";
  for (int i = 1; i < 10'000; ++i) zeros += R"(, {"intervention_type": "zero"})";
  const TestFolder folder;
  vene_test::write_text(folder / "many.json", experiment(zeros, R"("unit_locations": {"base": 0})"));
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = vene_command({"run", "-m", bundled_model(), folder / "many.json", "-o", folder / "out"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(BadExperiment, SeveralProblemsAreALineEach) {
  const TestFolder folder;
  vene_test::write_text(folder / "bad.json",
                        experiment(R"({"unit": "poss", "layer": -1, "intervention_type": "vanila"})"));
  const Outcome outcome = vene_command({"run", "-m", bundled_model(), folder / "bad.json", "-o", folder / "out"});
  EXPECT_EQ(outcome.status, 1);
  const auto lines = vene_test::lines_of(outcome.err);
  ASSERT_EQ(lines.size(), 3U) << outcome.err;
  for (const std::string& line : lines) EXPECT_THAT(line, testing::StartsWith("vene: "));
}

TEST(BadExperiment, AMissingFileIsNamed) {
  const TestFolder folder;
  expect_refused(vene_command({"run", "-m", bundled_model(), folder / "none.json", "-o", folder / "out"}), "none.json");
}

std::vector<std::string> run_arguments(const std::string& out) {
  return {"run", "-m", bundled_model(), vene_test::source_path("examples/experiments/interchange.json"), "-o", out};
}
std::vector<std::string> trace_arguments(const std::string& out) {
  return {"trace",     "-m",     bundled_model(), "-p", "The Space Needle is in downtown",
          "--subject", "Needle", "--samples",     "1",  "-o",
          out};
}

TEST(BadDisk, AFileWhereAFolderIsWanted) {
  const TestFolder folder;
  vene_test::write_text(folder / "file", "kept");
  for (const std::string& out : {folder / "file", folder / "file/below"}) {
    expect_refused(vene_command(run_arguments(out)), folder / "file");
    expect_refused(vene_command(trace_arguments(out)), folder / "file");
  }
  expect_refused(vene_command(run_arguments("")), "the output folder's name is empty");
  EXPECT_EQ(vene_test::read_text(folder / "file"), "kept");
  EXPECT_THAT(vene_test::names_below(folder.path()), testing::ElementsAre("file"));
}

TEST(BadDisk, AFolderWhereAFileIsWanted) {
  const TestFolder folder;
  fs::create_directories(folder / "out/trace.json");
  fs::create_directories(folder / "out/interchange.safetensors");
  expect_refused(vene_command(run_arguments(folder / "out")),
                 "interchange.safetensors' is a folder where a file is to be written");
  expect_refused(vene_command(trace_arguments(folder / "out")),
                 "trace.json' is a folder where a file is to be written");
  EXPECT_THAT(vene_test::names_below(folder / "out"), testing::ElementsAre("interchange.safetensors", "trace.json"));
}

TEST(BadDisk, AFullDiskLeavesNothingBehind) {
  const TestFolder folder;
  // A limit on file sizes fails writes for root, too; 2000 bytes hold what is printed.
  const vene_test::Surroundings small{.largest_file = 2000};
  expect_refused(vene_command(run_arguments(folder / "new/out"), small),
                 "cannot write '" + (folder / "new/out/interchange.safetensors'"));
  expect_refused(vene_command(trace_arguments(folder / "new/out"), small),
                 "cannot write '" + (folder / "new/out/trace.csv'"));
  EXPECT_THAT(vene_test::names_below(folder.path()), IsEmpty());
}

TEST(BadDisk, OlderResultsStayWhenNewOnesCannotBeWritten) {
  const TestFolder folder;
  fs::create_directory(folder / "out");
  for (const char* name : {"trace.csv", "trace.json"})
    vene_test::write_text(folder / (std::string("out/") + name), "older");
  EXPECT_EQ(vene_command(trace_arguments(folder / "out"), {.largest_file = 2000}).status, 1);
  EXPECT_THAT(vene_test::names_below(folder / "out"), testing::ElementsAre("trace.csv", "trace.json"));
  EXPECT_EQ(vene_test::read_text(folder / "out/trace.csv"), "older");
}

TEST(BadDisk, AFolderWithoutWritePermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  const TestFolder folder;
  fs::create_directory(folder / "out");
  fs::permissions(folder / "out", fs::perms::owner_read | fs::perms::owner_exec);
  expect_refused(vene_command(run_arguments(folder / "out")), "Permission denied");
}

}  // namespace
