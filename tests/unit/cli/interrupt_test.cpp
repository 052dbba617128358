// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, SIGTERM and SIGHUP in every long command: the bar was there, the exit status is 1, what is promised is on
// disk, and nothing else is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "unit/cli/terminal_child.h"
#include "vene/io/safetensors.h"

namespace vene_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

const std::string kPrompt = "The Space Needle is in downtown";

class Interrupted : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_ / "tmp"); }

  std::vector<std::string> trace(const std::string& samples = "3000") {
    return {"trace",  "-m",        bundled_model(), "-p", kPrompt,        "--subject",
            "Needle", "--samples", samples,         "-o", folder_ / "out"};
  }
  // A training of some minutes.
  std::vector<std::string> train() {
    auto spec = nlohmann::json::parse(read_text(source_path("examples/experiments/align_city.train.json")));
    spec["training"]["epochs"] = 4000;
    for (const char* set : {"examples", "validation", "test"}) {
      if (spec.contains(set) && spec[set].is_string())
        spec[set] = source_path("examples/experiments/" + spec[set].get<std::string>());
    }
    write_text(folder_ / "long.train.json", spec.dump());
    return {"train", "-m", bundled_model(), folder_ / "long.train.json", "-o", folder_ / "out"};
  }
  Surroundings surroundings() { return {.environment = {{"TMPDIR", folder_ / "tmp"}, {"OMP_WAIT_POLICY", "passive"}}}; }
  void expect_nothing_left() {
    EXPECT_THAT(names_below(folder_ / "out"), IsEmpty());
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    EXPECT_THAT(names_below(folder_ / "tmp"), IsEmpty());
  }
  TestFolder folder_;
};

// What each signal is called, and how it comes.
const std::vector<std::pair<std::string, int>> kSignals{{"SIGINT", 0}, {"SIGTERM", SIGTERM}, {"SIGHUP", SIGHUP}};

void interrupt(TerminalChild& child, int signal) {
  signal == 0 ? child.press_control_c() : child.send(signal);
}

TEST_F(Interrupted, TrainingEndsAfterItsStepWithACheckpointThatGoesOn) {
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    fs::remove_all(folder_ / "out");
    TerminalChild child(train(), surroundings());
    ASSERT_TRUE(child.saw("training [")) << child.shown();
    ASSERT_TRUE(child.saw(", loss ")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped after step "));
    EXPECT_THAT(child.shown(), HasSubstr("`--resume` goes on from " + (folder_ / "out/checkpoint.safetensors")));
    const auto names = names_below(folder_ / "out");
    EXPECT_THAT(names, testing::IsSupersetOf({"checkpoint.safetensors", "log.csv"}));
    for (const std::string& left : names) EXPECT_FALSE(left.starts_with(".")) << left;
    EXPECT_THAT(names_below(folder_ / "tmp"), IsEmpty());
  }
  const std::size_t steps = lines_of(read_text(folder_ / "out/log.csv")).size();
  std::vector<std::string> again = train();
  again.push_back("--resume");
  TerminalChild child(again, surroundings());
  ASSERT_TRUE(child.saw(", loss ")) << child.shown();
  child.press_control_c();
  EXPECT_EQ(child.status(), 1);
  EXPECT_GT(lines_of(read_text(folder_ / "out/log.csv")).size(), steps);
}

TEST_F(Interrupted, TracingWritesNothing) {
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child(trace(), surroundings());
    ASSERT_TRUE(child.saw("tracing [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("vene: stopped by " + name + "; nothing was written"));
    expect_nothing_left();
  }
}

TEST_F(Interrupted, AblatingWritesNothing) {
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"ablate", "-m", bundled_model(), "--pairs", "examples/pairs/landmarks.jsonl", "--units",
                         "neuron", "--layers", "0,1,2,3,4,5", "--greedy", "100", "-o", folder_ / "out"},
                        surroundings());
    ASSERT_TRUE(child.saw("ablating [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; nothing was written"));
    expect_nothing_left();
  }
}

TEST_F(Interrupted, PatchingWritesNothing) {
  // Minutes of work: the same pair a thousand times.
  const std::string pair = lines_of(read_text(source_path("examples/pairs/landmarks.jsonl"))).front() + "\n";
  std::string pairs;
  for (int i = 0; i < 1000; ++i) pairs += pair;
  write_text(folder_ / "pairs.jsonl", pairs);
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"patch", "-m", bundled_model(), "--pairs", folder_ / "pairs.jsonl", "--over",
                         "layer,head,position", "-o", folder_ / "out"},
                        surroundings());
    ASSERT_TRUE(child.saw("patching [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; nothing was written"));
    expect_nothing_left();
  }
}

TEST_F(Interrupted, LocatingWritesNothing) {
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"locate", "-m", bundled_model(), "--task", "examples/tasks/gender.json", "--steps", "100000",
                         "-o", folder_ / "out"},
                        surroundings());
    ASSERT_TRUE(child.saw("training [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; nothing was written"));
    expect_nothing_left();
  }
}

TEST_F(Interrupted, SweepingWritesNothing) {
  auto spec = nlohmann::json::parse(read_text(source_path("examples/sweeps/patch_grid.json")));
  spec["axes"]["again"] = {{"range", {0, 5000}}};
  spec["description"] = "$again";
  write_text(folder_ / "long.json", spec.dump());
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"sweep", "-m", bundled_model(), folder_ / "long.json", "-o", folder_ / "out"}, surroundings());
    ASSERT_TRUE(child.saw("cells [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    expect_nothing_left();
  }
}

TEST_F(Interrupted, ExperimentsWriteNothing) {
  const std::string gru = source_path("assets/landmarks-gru");
  write_text(
      folder_ / "short.json",
      R"({"config": [{"component": "embedding", "intervention_type": "zero"}], "base": {"text": "The"}, "generate": {"max_new_tokens": 1}})");
  write_text(
      folder_ / "long.json",
      R"({"config": [{"component": "embedding", "intervention_type": "zero"}], "base": {"text": "The"}, "generate": {"max_new_tokens": 1000000, "ignore_eos": true}})");
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"run", "-m", gru, folder_ / "short.json", folder_ / "long.json", "-o", folder_ / "out"},
                        surroundings());
    ASSERT_TRUE(child.saw("experiments [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; nothing was written"));
    expect_nothing_left();
  }
}

TEST_F(Interrupted, AGenerationEndsWhereItIs) {
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"generate", "-m", source_path("assets/landmarks-gru"), "-p", "The Space Needle", "-n",
                         "1000000", "--ignore-eos"},
                        surroundings());
    ASSERT_TRUE(child.saw("The Space Needle is")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("\nvene: stopped by " + name + "; the text ends here"));
  }
}

TEST_F(Interrupted, AControlVectorIsNotWritten) {
  std::string texts;
  for (int i = 0; i < 100000; ++i) texts += "The Space Needle is in downtown " + std::to_string(i) + "\n";
  write_text(folder_ / "texts", texts);
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"steer-vector", "-m", bundled_model(), "--positive", folder_ / "texts", "--negative",
                         "examples/steering/rome.txt", "-o", folder_ / "v.gguf"},
                        surroundings());
    ASSERT_TRUE(child.saw("texts [")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; nothing was written"));
    EXPECT_FALSE(fs::exists(folder_ / "v.gguf"));
  }
}

TEST_F(Interrupted, CollectingLeavesFinishedShardsThatResumeGoesOnFrom) {
  std::string texts;
  for (int i = 0; i < 6000; ++i) texts += "The Space Needle is in downtown Seattle, " + std::to_string(i) + " say\n";
  write_text(folder_ / "texts.txt", texts);
  std::vector<std::string> arguments{"collect", "-m",       bundled_model(), "--data", folder_ / "texts.txt",
                                     "--sites", "*_output", "--positions",   "last",   "--shard-size",
                                     "1MB",     "-o"};
  std::vector<std::string> whole = arguments;
  whole.push_back(folder_ / "whole");
  ASSERT_EQ(vene_command(whole, surroundings()).status, 0);
  arguments.push_back(folder_ / "out");
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child(arguments, surroundings());
    ASSERT_TRUE(child.saw("texts [#")) << child.shown();  // a share of them is done
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name + "; "));
    EXPECT_THAT(child.shown(), HasSubstr("in " + (folder_ / "out") + ", and --resume goes on"));
    for (const std::string& left : names_below(folder_ / "out")) EXPECT_FALSE(left.starts_with(".")) << left;
    if (name == "SIGINT") arguments.push_back("--resume");
  }
  ASSERT_EQ(vene_command(arguments, surroundings()).status, 0);
  const auto names = names_below(folder_ / "whole");
  EXPECT_EQ(names_below(folder_ / "out"), names);
  for (const std::string& file : names)
    EXPECT_TRUE(read_text(folder_ / ("out/" + file)) == read_text(folder_ / ("whole/" + file))) << file;
}

TEST_F(Interrupted, AVerificationStopsBetweenTokens) {
  const std::string gru = source_path("assets/landmarks-gru");
  write_text(
      folder_ / "greedy.json",
      R"({"config": [{"component": "embedding", "intervention_type": "zero"}], "base": {"text": "The"}, "generate": {"max_new_tokens": 500, "ignore_eos": true, "when": "prompt"}})");
  ASSERT_EQ(vene_command({"run", "-m", gru, folder_ / "greedy.json", "-o", folder_ / "greedy"}).status, 0);
  const vene::io::NamedTensors made = vene::io::read_tensors(folder_ / "greedy/greedy.safetensors");
  const auto ids = std::find_if(made.begin(), made.end(), [](const auto& one) { return one.first == "original.ids"; });
  ASSERT_NE(ids, made.end());
  // The model's own logits are enough to get that far.
  write_text(folder_ / "once.json",
             R"({"config": [{"component": "embedding", "intervention_type": "zero"}], "base": {"text": "The"}})");
  ASSERT_EQ(vene_command({"run", "-m", gru, folder_ / "once.json", "-o", folder_ / "once"}).status, 0);
  const vene::io::NamedTensors once = vene::io::read_tensors(folder_ / "once/once.safetensors");
  vene::io::NamedTensors reference{{"greedy", ids->second}};
  for (const auto& [name, value] : once) {
    if (name == "original.logits") reference.emplace_back("logits", value);
  }
  reference.emplace_back("input_ids", ids->second.narrow(1, 0, reference.back().second.size(1)).contiguous());
  vene::io::write_safetensors(folder_ / "reference.safetensors", reference);
  for (const auto& [name, signal] : kSignals) {
    SCOPED_TRACE(name);
    TerminalChild child({"verify", "-m", gru, "--reference", folder_ / "reference.safetensors", "--verbose"},
                        surroundings());
    ASSERT_TRUE(child.saw("values: compared")) << child.shown();
    interrupt(child, signal);
    EXPECT_EQ(child.status(), 1) << child.shown();
    EXPECT_THAT(child.shown(), HasSubstr("stopped by " + name));
  }
}

// A gnuplot that takes its time.
void slow_gnuplot(const std::string& folder) {
  fs::create_directory(folder);
  write_text(folder + "/gnuplot", "#!/bin/sh\necho $$ > \"$0.started\"\nexec /bin/sleep 20\n");
  fs::permissions(folder + "/gnuplot", fs::perms::owner_all);
}

TEST_F(Interrupted, WhileAPictureIsDrawnNothingIsWrittenEither) {
  slow_gnuplot(folder_ / "bin");
  Surroundings slow = surroundings();
  slow.environment["PATH"] = folder_ / "bin";
  TerminalChild child(trace("1"), slow);
  for (int i = 0; i < 600 && !fs::exists(folder_ / "bin/gnuplot.started"); ++i) usleep(50000);
  ASSERT_TRUE(fs::exists(folder_ / "bin/gnuplot.started")) << child.shown();
  child.press_control_c();
  EXPECT_EQ(child.status(), 1) << child.shown();
  EXPECT_THAT(child.shown(), HasSubstr("stopped by SIGINT; nothing was written"));
  expect_nothing_left();
}

TEST_F(Interrupted, TheSecondSignalEndsItAtOnce) {
  slow_gnuplot(folder_ / "bin");
  for (const auto& [signal, status] : std::vector<std::pair<int, int>>{{SIGINT, 130}, {SIGTERM, 143}}) {
    fs::remove(folder_ / "bin/gnuplot.started");
    Surroundings slow = surroundings();
    slow.environment["PATH"] = folder_ / "bin";
    TerminalChild child(trace("1"), slow);
    for (int i = 0; i < 600 && !fs::exists(folder_ / "bin/gnuplot.started"); ++i) usleep(50000);
    ASSERT_TRUE(fs::exists(folder_ / "bin/gnuplot.started")) << child.shown();
    const pid_t drawing = std::stoi(read_text(folder_ / "bin/gnuplot.started"));
    child.send(signal);
    EXPECT_TRUE(child.saw("stopping; once more ends it at once")) << child.shown();
    // What comes at once is the same signal, sent to the process and to its group, as `timeout` does.
    child.send(signal);
    usleep(400000);
    const auto begun = std::chrono::steady_clock::now();
    child.send(signal);
    EXPECT_EQ(child.status(), status) << child.shown();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
    EXPECT_FALSE(fs::exists(folder_ / "out/trace.csv"));
    kill(drawing, SIGKILL);
  }
}

TEST_F(Interrupted, ASignalThatWasIgnoredBeforeStaysSo) {
  const Outcome outcome =
      shell("trap '' INT; vene steer-vector -m '" + bundled_model() +
            "' --positive examples/steering/rome.txt --negative examples/steering/seattle.txt -o '" +
            (folder_ / "v.gguf") + "' & child=$!; kill -INT $child; wait $child");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "v.gguf"));
}

TEST_F(Interrupted, AsJsonItIsAnErrorOfItsOwnClass) {
  std::vector<std::string> arguments = trace();
  arguments.push_back("--json");
  TerminalChild child(arguments, surroundings());
  ASSERT_TRUE(child.saw("tracing [")) << child.shown();
  child.press_control_c();
  EXPECT_EQ(child.status(), 1);
  EXPECT_THAT(child.shown(),
              HasSubstr(R"({"error":{"class":"Stopped","message":"stopped by SIGINT; nothing was written"}})"));
}

TEST_F(Interrupted, QuietCommandsShowNoBar) {
  std::vector<std::string> arguments = trace("50");
  for (const char* option : {"--quiet", "--no-picture"}) arguments.emplace_back(option);
  TerminalChild child(arguments, surroundings());
  EXPECT_EQ(child.status(), 0);
  EXPECT_THAT(child.shown(), IsEmpty());
  EXPECT_THAT(names_below(folder_ / "out"), ElementsAre("trace.csv", "trace.json"));
}

}  // namespace
}  // namespace vene_test
