// SPDX-License-Identifier: Apache-2.0
// Where a command's results go: bad places are refused before any work, standard output is written before any file is
// changed, and no path that a user gave is removed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "unit/cli/child.h"
#include "vene/io/files.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using vene_test::bundled_model;
using vene_test::names_below;
using vene_test::Outcome;
using vene_test::read_text;
using vene_test::Surroundings;
using vene_test::TestFolder;
using vene_test::vene_command;
using vene_test::write_text;
namespace fs = std::filesystem;

const std::string kInterchange = vene_test::source_path("examples/experiments/interchange.json");

std::vector<std::string> run_arguments(const std::string& out) {
  return {"run", "-m", bundled_model(), kInterchange, "-o", out};
}
std::vector<std::string> trace_arguments(const std::string& out) {
  return {"trace",
          "-m",
          bundled_model(),
          "-p",
          "The Space Needle is in downtown",
          "--subject",
          "Needle",
          "--samples",
          "1",
          "--streams",
          "block_output",
          "-o",
          out};
}
std::vector<std::string> plain_trace_arguments(const std::string& out) {
  std::vector<std::string> arguments = trace_arguments(out);
  arguments.push_back("--no-picture");
  return arguments;
}
// A training of four steps.
std::vector<std::string> train_arguments(const TestFolder& folder, const std::string& out) {
  folder.write("spec.json", R"({
    "config": {"representations": [{"layer": 1, "component": "block_output",
                                    "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "seed": 1}]},
    "unit_locations": {"sources->base": "last"}, "training": {"epochs": 2, "batch_size": 1},
    "examples": [{"base": {"input_ids": [[1, 2, 3]]}, "sources": [{"input_ids": [[4, 5, 6]]}], "label": 7},
                 {"base": {"input_ids": [[3, 2, 1]]}, "sources": [{"input_ids": [[6, 5, 4]]}], "label": 8}]})");
  return {"train", "-m",          vene_test::source_path("tests/golden/models/gpt2_tied"), folder / "spec.json", "-o",
          out,     "--no-picture"};
}
std::vector<std::string> steer_arguments(const TestFolder& folder, const std::string& out) {
  folder.write("plus.txt", "Rome\n");
  folder.write("minus.txt", "Seattle\n");
  return {"steer-vector", "-m", bundled_model(), "--positive", folder / "plus.txt", "--negative", folder / "minus.txt",
          "-o",           out};
}

void expect_refused(const Outcome& outcome, const std::string& what) {
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_THAT(outcome.err, testing::StartsWith("vene: "));
  EXPECT_THAT(outcome.err, HasSubstr(what));
  EXPECT_THAT(outcome.err, Not(HasSubstr("filesystem error")));
  EXPECT_LT(outcome.err.size(), 600U);
}

TEST(Outputs, WhatIsNoPlaceForThemIsRefusedAndStays) {
  const TestFolder folder, inputs;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder / "dangling");
  fs::create_symlink("loop", folder / "loop");
  // Without following a link.
  const auto names = [&] {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder.path())) all.push_back(entry.path().filename().string());
    return all;
  };
  for (const auto& [out, says] : std::vector<std::pair<std::string, std::string>>{
           {folder / "pipe", "pipe or a device"},
           {"/dev/null", "pipe or a device"},
           {folder / "dangling", "is a link to 'nowhere', where nothing is"},
           {folder / "loop", "is a loop of links"},
           {folder / std::string(3000, 'n'), "File name too long"},
           {"", "is empty"}}) {
    // A checkpoint that is not there: the place is looked at before any work, for which it would be read.
    auto absent = [](std::vector<std::string> arguments) {
      arguments[2] = "/nowhere/at/all";
      return arguments;
    };
    expect_refused(vene_command(run_arguments(out)), says);
    expect_refused(vene_command(absent(plain_trace_arguments(out))), says);
    expect_refused(vene_command(absent(train_arguments(inputs, out))), says);
    expect_refused(vene_command(absent(steer_arguments(inputs, out))), says);
  }
  EXPECT_THAT(names(), testing::UnorderedElementsAre("pipe", "dangling", "loop"));
  EXPECT_EQ(fs::read_symlink(folder / "dangling"), "nowhere");
}

TEST(Outputs, ALinkToAFolderOrAFileIsFollowedAndStays) {
  const TestFolder folder, inputs;
  fs::create_directory(folder / "real");
  fs::create_symlink("real", folder / "link");
  ASSERT_EQ(vene_command(run_arguments(folder / "link")).status, 0);
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_THAT(names_below(folder / "real"), ElementsAre("interchange.safetensors"));
  write_text(folder / "file.gguf", "older");
  fs::create_symlink("file.gguf", folder / "link.gguf");
  const Outcome steered = vene_command(steer_arguments(inputs, folder / "link.gguf"));
  ASSERT_EQ(steered.status, 0) << steered.err;
  EXPECT_TRUE(fs::is_symlink(folder / "link.gguf"));
  EXPECT_THAT(read_text(folder / "file.gguf"), testing::StartsWith("GGUF"));
}

TEST(Inputs, APipeThatNobodyWritesToIsRefusedAndNotWaitedFor) {
  const TestFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::string says = "is not a regular file";
  expect_refused(vene_command({"run", "-m", bundled_model(), folder / "pipe", "-o", folder / "out"}), says);
  expect_refused(vene_command({"train", "-m", bundled_model(), folder / "pipe", "-o", folder / "out"}), says);
  expect_refused(vene_command({"locate", "-m", bundled_model(), "--task", folder / "pipe", "-o", folder / "out"}),
                 says);
  expect_refused(vene_command({"generate", "-m", bundled_model(), "-p", "x", "--config", folder / "pipe"}), says);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    const TestFolder checkpoint;
    for (const auto& entry : fs::directory_iterator(bundled_model()))
      fs::create_symlink(entry.path(), checkpoint / entry.path().filename().string());
    fs::remove(checkpoint / name);
    ASSERT_EQ(::mkfifo((checkpoint / name).c_str(), 0600), 0);
    const Outcome outcome = vene_command({"sites", checkpoint.path()});
    if (std::string(name) == "tokenizer.json") {  // the model runs on token ids without
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr("not a regular file; this model takes token ids only"));
    } else {
      expect_refused(outcome, says);
    }
  }
  EXPECT_THAT(names_below(folder.path()), ElementsAre("pipe"));
}

TEST(Outputs, AFullStandardOutputIsSaidBeforeAnyFileIsChanged) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const TestFolder folder, inputs;
  const Surroundings full{.standard_output = "/dev/full"};
  const std::string says = "standard output: cannot be written; nothing is put into '";
  expect_refused(vene_command(run_arguments(folder / "run"), full), says);
  expect_refused(vene_command(plain_trace_arguments(folder / "trace"), full), says);
  expect_refused(vene_command(steer_arguments(inputs, folder / "v.gguf"), full), says);
  EXPECT_THAT(names_below(folder.path()), IsEmpty());
  expect_refused(vene_command(train_arguments(inputs, folder / "train"), full), says);
  EXPECT_THAT(names_below(folder / "train"), ElementsAre("checkpoint.safetensors", "log.csv"));
  auto again = train_arguments(inputs, folder / "train");
  again.push_back("--resume");
  ASSERT_EQ(vene_command(again).status, 0) << "what was trained is not lost";
  EXPECT_TRUE(fs::exists(folder / "train/intervention/config.json"));
}

TEST(Outputs, AReaderThatLeavesCostsNothing) {
  const TestFolder folder;
  const std::string command = "vene run -m " + bundled_model() + " " + kInterchange + " -o " + (folder / "out");
  EXPECT_EQ(vene_test::shell("{ " + command + "; echo $? > " + (folder / "status") + "; } | true").status, 0);
  EXPECT_EQ(read_text(folder / "status"), "0\n");
  EXPECT_THAT(names_below(folder / "out"), ElementsAre("interchange.safetensors"));
}

TEST(Outputs, AFullFolderForTemporaryFilesCostsOnlyThePictures) {
  const TestFolder folder;
  const Outcome outcome = vene_command(trace_arguments(folder / "out"), {.environment = {{"TMPDIR", "/proc"}}});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("so no picture is drawn"));
  EXPECT_THAT(names_below(folder / "out"), ElementsAre("trace.csv", "trace.json"));
}

TEST(Outputs, ATrainingFolderBelongsToOneProcessAtATime) {
  const TestFolder folder;
  fs::create_directory(folder / "out");
  const vene::io::FolderLock lock(folder / "out");
  auto arguments = train_arguments(folder, folder / "out");
  arguments.push_back("--resume");
  expect_refused(vene_command(arguments), "another process works in it; wait for its end, or name another folder");
  EXPECT_THAT(names_below(folder / "out"), ElementsAre(".vene-lock"));
}

TEST(Outputs, AKilledTrainingIsMadeWholeByResuming) {
  const TestFolder folder;
  const auto arguments = train_arguments(folder, folder / "out");
  ASSERT_EQ(vene_command(arguments).status, 0);
  const std::string log = read_text(folder / "out/log.csv");
  // What is there when the process is killed after its last checkpoint and before the log is written.
  fs::remove_all(folder / "out/intervention");
  fs::remove(folder / "out/metrics.json");
  write_text(folder / "out/log.csv", log.substr(0, log.rfind('\n', log.size() - 2) + 1));
  write_text(folder / "out/.log.csv.77-3.tmp", "half");
  write_text(folder / "out/.checkpoint.safetensors.77-2.tmp", "half");
  write_text(folder / "out/.vene-lock", "");
  fs::create_directories(folder / "out/.vene-abcdef/intervention");
  auto again = arguments;
  again.push_back("--resume");
  const Outcome resumed = vene_command(again);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(read_text(folder / "out/log.csv"), log);
  EXPECT_THAT(
      names_below(folder / "out"),
      ElementsAre("checkpoint.safetensors", "intervention", "intervention/config.json",
                  "intervention/interventions.safetensors", "intervention/metrics.json", "log.csv", "metrics.json"));
}

}  // namespace
