// SPDX-License-Identifier: Apache-2.0
// `vene train`, as a user calls it.
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/data_folder.h"
#include "unit/cli/child.h"

namespace vene_test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

const char* kExamples =
    R"([{"base": {"input_ids": [[1, 2, 3]]}, "sources": [{"input_ids": [[4, 5, 6]]}], "label": 7, "rival": 9},
                            {"base": {"input_ids": [[3, 2, 1]]}, "sources": [{"input_ids": [[6, 5, 4]]}], "labels": [{"token": 8, "position": -1}]}])";

class TrainCommand : public testing::Test {
 protected:
  static std::string spec(const std::string& training = R"("epochs": 4, "learning_rate": 0.01, "batch_size": 1)",
                          const std::string& more = "",
                          const std::string& type = R"("low_rank_rotated_space", "low_rank_dimension": 2, "seed": 1)",
                          const std::string& examples = kExamples) {
    return R"({"config": {"representations": [{"layer": 1, "component": "block_output", "intervention_type": )" + type +
           R"(}]}, "unit_locations": {"sources->base": "last"}, "examples": )" + examples + R"(, "training": {)" +
           training + "}" + more + "}";
  }
  Outcome train(const std::string& text, const std::string& out, const std::vector<std::string>& more = {}) {
    write_text(folder_ / "spec.json", text);
    std::vector<std::string> arguments{
        "train",       "-m",          source_path("tests/golden/models/gpt2_tied"), folder_ / "spec.json", "-o",
        folder_ / out, "--no-picture"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vene_command(arguments);
  }
  TestFolder folder_;
};

TEST_F(TrainCommand, WritesTheInterventionTheLogAndTheMetrics) {
  const Outcome trained = train(
      spec(
          R"("epochs": 30, "learning_rate": 0.05, "batch_size": 1, "optimizer": "adamw", "schedule": "cosine", "warm_up": 0.1, "clip": 1)",
          std::string(R"(, "test": )") + kExamples),
      "out", {"--json"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const json metrics = json::parse(trained.out);
  EXPECT_EQ(metrics, json::parse(read_text(folder_ / "out/metrics.json")));
  EXPECT_EQ(metrics["steps"], 60);
  EXPECT_LT(metrics["train"]["loss"], 3.0) << "60 tokens: chance is 4.1";
  EXPECT_EQ(metrics["train"]["loss"], metrics["test"]["loss"]);
  EXPECT_EQ(lines_of(read_text(folder_ / "out/log.csv")).size(), 61U);
  EXPECT_THAT(names_below(folder_ / "out"),
              testing::IsSupersetOf({"checkpoint.safetensors", "intervention", "intervention/config.json",
                                     "intervention/interventions.safetensors", "log.csv", "metrics.json"}));
  // What was saved is what was trained: an experiment with it gives label 7 the probability that the loss says.
  write_text(
      folder_ / "experiment.json",
      R"({"config": "out/intervention", "base": {"input_ids": [[1, 2, 3]]}, "sources": [{"input_ids": [[4, 5, 6]]}], "unit_locations": {"sources->base": "last"}})");
  const Outcome ran = vene_command({"run", "-m", source_path("tests/golden/models/gpt2_tied"),
                                    folder_ / "experiment.json", "-o", folder_ / "results"});
  EXPECT_EQ(ran.status, 0) << ran.err;
}

TEST_F(TrainCommand, ItsPictureShowsTheValidationTooInAnyFormat) {
  if (shell("command -v gnuplot").status != 0) GTEST_SKIP() << "gnuplot is absent";
  write_text(folder_ / "spec.json",
             spec(R"("epochs": 4, "learning_rate": 0.01, "batch_size": 1)", R"(, "validation": 0.5)"));
  const auto trained = [&](const std::string& out, const std::string& formats) {
    return vene_command({"train", "-m", source_path("tests/golden/models/gpt2_tied"), folder_ / "spec.json", "-o",
                         folder_ / out, "--format", formats});
  };
  const Outcome outcome = trained("out", "svg,pdf");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              HasSubstr("picture: " + (folder_ / "out/loss.svg") + ", " + (folder_ / "out/loss.pdf") + "\n"));
  const std::string svg = read_text(folder_ / "out/loss.svg");
  EXPECT_THAT(svg, AllOf(HasSubstr(">training<"), HasSubstr(">validation<")));
  EXPECT_TRUE(read_text(folder_ / "out/loss.pdf").starts_with("%PDF-"));
  EXPECT_FALSE(fs::exists(folder_ / "out/loss.png"));
  EXPECT_EQ(trained("none", "jpg").status, 2);
}

TEST_F(TrainCommand, AResumedTrainingIsTheUnbrokenOne) {
  const std::string long_one = spec(R"("epochs": 4, "learning_rate": 0.01, "batch_size": 1)");
  ASSERT_EQ(train(long_one, "whole").status, 0);
  ASSERT_EQ(train(long_one, "again").status, 0);
  EXPECT_EQ(read_text(folder_ / "whole/log.csv"), read_text(folder_ / "again/log.csv"));
  const Outcome taken = train(long_one, "whole");
  EXPECT_EQ(taken.status, 1);
  EXPECT_THAT(taken.err, HasSubstr("is not empty; give --resume"));
  const Outcome resumed = train(long_one, "whole", {"--resume"});
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(read_text(folder_ / "whole/log.csv"), read_text(folder_ / "again/log.csv"));
  const Outcome other = train(spec(R"("epochs": 5, "learning_rate": 0.01, "batch_size": 1)"), "whole", {"--resume"});
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("is the checkpoint of another training"));
}

TEST_F(TrainCommand, PartsOfTheModelTrainAlongAndAreSaved) {
  const Outcome trained =
      train(spec(R"("epochs": 2, "learning_rate": 0.01)", R"(, "train_model": ["transformer.h.1.mlp"])"), "out");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_TRUE(fs::exists(folder_ / "out/intervention/model_parts.safetensors"));
}

TEST_F(TrainCommand, AJointLossKeepsTheModelsTask) {
  std::string text = spec(R"("epochs": 2, "learning_rate": 0.01, "task_weight": 0.5)", R"(, "train_model": true)");
  for (std::size_t at = text.find("\"sources\": [{"); at != std::string::npos;
       at = text.find("\"sources\": [{", at + 30))
    text.insert(at, "\"task_label\": 3, ");
  const Outcome trained = train(text, "out");
  EXPECT_EQ(trained.status, 0) << trained.err;
  const Outcome frozen = train(spec(R"("task_weight": 0.5)"), "frozen");
  EXPECT_EQ(frozen.status, 1);
  EXPECT_THAT(frozen.err, HasSubstr("task_weight weighs what the model does by itself, and the model is frozen"));
}

// A tokenizer may cut a word otherwise by itself than behind a text; places may be named by their token.
TEST_F(TrainCommand, LabelsAndPlacesAreFoundInTheText) {
  const auto run = [&](const std::string& model, const std::string& label) {
    write_text(
        folder_ / "text.json",
        R"({"config": [{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 1}], "unit_locations": {"base": {"token": " was"}},
      "examples": [{"base": "Tim was happy because", "sources": ["Lily was happy because"], "label": ")" +
            label + R"(", "rival": " he"}], "training": {"epochs": 1}})");
    return vene_command({"train", "-m", model, folder_ / "text.json", "-o",
                         folder_ / fs::path(model).filename().string(), "--no-picture"});
  };
  const Outcome bytes = run(bundled_model(), " she");
  EXPECT_EQ(bytes.status, 0) << bytes.err;
  VENE_REQUIRE_DATA(data);
  const Outcome pieces = run((*data / "stories260k").string(), " she");
  EXPECT_EQ(pieces.status, 0) << pieces.err;
}

TEST_F(TrainCommand, BadSpecsAreOneLineAndLeaveNothing) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{}", "spec: 'config' is missing"},
      {"[", "not JSON"},
      {spec(R"("epochs": 0)"), "epochs is 0"},
      {spec(R"("epochs": 4611686018427387904)"), "epochs is 4.61169e+18, expected at most 2147483647"},
      {spec(R"("epochs": 18446744073709551615)"), "training.epochs: expected an integer, got 18446744073709551615"},
      {spec(R"("batch_size": 4611686018427387904)"), "batch_size is 4.61169e+18, expected at most 2147483647"},
      {spec(R"("accumulation": 4611686018427387904)"), "accumulation is 4.61169e+18, expected at most"},
      {spec(R"("cache": 4611686018427387904)"), "cache is 4611686018427387904 bytes, and this machine has memory for"},
      {spec(R"("epochs": 1, "epochs": 2)"), "spec: key 'epochs' is given twice in one object"},
      {spec(R"("epoch": 3)"), "training: unknown key 'epoch'; did you mean 'epochs'?"},
      {spec(R"("optimizer": "adm")"), "training.optimizer: unknown optimizer 'adm'; did you mean 'adam' or 'adamw'?"},
      {spec(R"("temperature": 3)"), "training.temperature: expected the first and the last, such as [50, 0.1], got 3"},
      {spec(R"("seed": -1)"), "training.seed: expected an integer of at least 0, got -1"},
      {spec(R"("temperature": [5, 1])"), "a temperature schedule is set, and no intervention has a temperature"},
      {spec(R"("momentum": 0.9)"), "momentum is 0.9, and only the optimizer sgd has one"},
      {spec("", R"(, "test": [{"base": {"input_ids": [[1]]}, "sources": [{"input_ids": [[1]]}], "label": 60}])"),
       "test[0]: the label 60 is outside the vocabulary"},
      {spec(
           "",
           R"(, "test": [{"base": {"input_ids": [[1]]}, "sources": [{"input_ids": [[1]]}], "label": 6, "unit_locations": {"base": 4}}])"),
       "test[0]: representations[0]"},
      {spec(R"("patience": 2)"), "training.patience: needs a 'validation' set"},
      {spec("", R"(, "validation": 1.5)"), "validation: expected a share between 0 and 1"},
      {spec("", R"(, "validation": 0.01)"), "leaves one of the two sets empty"},
      {spec("", R"(, "train_model": ["transfomer.h.1"])"), "no parameter whose name begins with 'transfomer.h.1'"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 99)"),
       "low_rank_dimension 99 does not fit a width of 16"},
      {spec("", "", R"("vanilla")"), "there is nothing to train"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)", "[]"), "examples: there are no examples"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)", R"("none.jsonl")"), "none.jsonl"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)",
            R"([{"base": {"input_ids": [[1]]}, "sources": [{"input_ids": [[1]]}]}])"),
       "examples[0]: expected either 'label' or 'labels'"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)",
            R"([{"base": {"input_ids": [[1]]}, "sources": [{"input_ids": [[1]]}], "label": 60}])"),
       "examples[0]: the label 60 is outside the vocabulary, whose tokens are 0 to 59"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)",
            R"([{"base": {"input_ids": [[1], [2]]}, "sources": [{"input_ids": [[1]]}], "label": 6}])"),
       "examples[0].base: expected one text or one row, got 2"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)",
            R"([{"base": "text", "sources": [], "label": 6}])"),
       "this model has no tokenizer"},
      {spec("", "", R"("low_rank_rotated_space", "low_rank_dimension": 2)",
            R"([{"base": {"input_ids": [[1]]}, "source": [], "label": 6}])"),
       "unknown key 'source'; did you mean 'sources'?"},
  };
  for (const auto& [text, message] : cases) {
    const Outcome refused = train(text, "refused");
    EXPECT_EQ(refused.status, 1) << text;
    EXPECT_THAT(refused.err, HasSubstr(message)) << text;
    EXPECT_EQ(lines_of(refused.err).size(), 1U) << refused.err;
    EXPECT_FALSE(fs::exists(folder_ / "refused")) << text;
  }
}

}  // namespace
}  // namespace vene_test
