// SPDX-License-Identifier: Apache-2.0
// Every system call of a command fails once: what follows is a sentence or nothing, what was in the output folder is
// there as it was or all that is new is, and no temporary file is left. VENE_FAULTS=all tries each call; without it, of
// the many opens and reads some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "unit/cli/child.h"

namespace {

using testing::HasSubstr;
using testing::Not;
using vene_test::bundled_model;
using vene_test::names_below;
using vene_test::Outcome;
using vene_test::read_text;
using vene_test::TestFolder;
using vene_test::write_text;
namespace fs = std::filesystem;

struct Command {
  const char* name;
  std::function<std::vector<std::string>(const TestFolder& inputs, const std::string& out)> arguments;
  std::vector<std::string> writes;  // in its output folder, all of them or none
  bool keeps = false;               // a training, whose checkpoint and log stay
};

const std::string kPrompt = "The Space Needle is in downtown";

std::vector<Command> commands() {
  const std::string interchange = vene_test::source_path("examples/experiments/interchange.json");
  const std::string generation =
      R"({"config": [{"layer": 1, "intervention_type": "zero"}], "base": {"text": ["The Space Needle is"]},
          "generate": {"max_new_tokens": 2}})";
  const std::string training =
      R"({"config": {"representations": [{"layer": 1, "component": "block_output",
                                          "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2, "seed": 1}]},
          "unit_locations": {"sources->base": "last"}, "training": {"epochs": 2, "batch_size": 1},
          "examples": [{"base": {"input_ids": [[1, 2, 3]]}, "sources": [{"input_ids": [[4, 5, 6]]}], "label": 7},
                       {"base": {"input_ids": [[3, 2, 1]]}, "sources": [{"input_ids": [[6, 5, 4]]}], "label": 8}]})";
  const std::string small = vene_test::source_path("tests/golden/models/gpt2_tied");
  return {
      {"run",
       [=](const TestFolder& inputs, const std::string& out) {
         inputs.write("generation.json", generation);
         return std::vector<std::string>{"run", "-m", bundled_model(), interchange, inputs / "generation.json",
                                         "-o",  out};
       },
       {"generation.json", "generation.safetensors", "interchange.safetensors"}},
      {"trace",
       [](const TestFolder&, const std::string& out) {
         return std::vector<std::string>{
             "trace",     "-m", bundled_model(), "-p",           kPrompt,        "--subject", "Needle",
             "--samples", "1",  "--streams",     "block_output", "--no-picture", "-o",        out};
       },
       {"trace.csv", "trace.json"}},
      {"train",
       [=](const TestFolder& inputs, const std::string& out) {
         inputs.write("spec.json", training);
         return std::vector<std::string>{"train",        "-m",       small, inputs / "spec.json",
                                         "--no-picture", "--resume", "-o",  out};
       },
       {"intervention/config.json", "intervention/interventions.safetensors", "intervention/metrics.json",
        "metrics.json"},
       true},
      {"steer-vector",
       [](const TestFolder& inputs, const std::string& out) {
         inputs.write("plus.txt", "Rome\nItaly\n");
         inputs.write("minus.txt", "Seattle\nWashington\n");
         return std::vector<std::string>{"steer-vector",      "-m",         bundled_model(),      "--positive",
                                         inputs / "plus.txt", "--negative", inputs / "minus.txt", "-o",
                                         out + "/v.gguf"};
       },
       {"v.gguf"}},
      {"generate",
       [](const TestFolder&, const std::string&) {
         return std::vector<std::string>{"generate", "-m", bundled_model(), "-p",     kPrompt,
                                         "-n",       "2",  "--steer-token", " Rome:2"};
       },
       {}},
  };
}

struct Fault {
  const char* call;
  int error;
};

// The numbers of the calls to fail: all, or so many of them, the last ones among them.
std::vector<long> chosen(long count, bool all) {
  constexpr long kSome = 10;
  std::vector<long> numbers;
  if (all || count <= kSome) {
    for (long n = 1; n <= count; ++n) numbers.push_back(n);
    return numbers;
  }
  for (long i = 0; i < kSome - 4; ++i) numbers.push_back(1 + i * (count - 4) / (kSome - 4));
  for (long n = count - 3; n <= count; ++n) numbers.push_back(n);
  return numbers;
}

class Faults : public testing::TestWithParam<Command> {
 protected:
  // The command with one fault, in a folder that holds something.
  Outcome run_with(const Fault& fault, long number) {
    const std::string out = folder_ / "out";
    fs::remove_all(out);
    fs::create_directory(out);
    if (!GetParam().keeps) {
      for (const std::string& name : GetParam().writes) write_text(out + "/" + name, "older");
    }
    return vene_test::vene_command(
        GetParam().arguments(inputs_, out),
        {.environment = {{"LD_PRELOAD", std::string(vene_test::program_path("../lib/libvene_fault_shim.so"))},
                         {"VENE_FAULT_CALL", fault.call},
                         {"VENE_FAULT_NUMBER", std::to_string(number)},
                         {"VENE_FAULT_ERROR", std::to_string(fault.error)},
                         {"VENE_FAULT_COUNT", folder_ / "count"},
                         {"TMPDIR", folder_ / "temporary"}}});
  }

  void expect_whole(const Outcome& outcome, const std::string& what) {
    EXPECT_TRUE(outcome.status == 0 || outcome.status == 1)
        << what << ": status " << outcome.status << " " << outcome.err;
    if (outcome.status == 1) {
      // One sentence, behind warnings such as that a tokenizer cannot be read.
      const std::vector<std::string> lines = vene_test::lines_of(outcome.err);
      EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                              [](const std::string& line) { return !line.starts_with("vene: warning: "); }),
                1)
          << what << ": " << outcome.err;
      EXPECT_THAT(outcome.err, testing::StartsWith("vene: ")) << what;
      for (const char* not_ours : {"filesystem error", "enforce fail", "json.exception", "should not have come up"})
        EXPECT_THAT(outcome.err, Not(HasSubstr(not_ours))) << what;
    }
    EXPECT_THAT(names_below(folder_ / "temporary"), testing::IsEmpty()) << what;
    std::size_t old_ones = 0, new_ones = 0;
    const std::vector<std::string> names = names_below(folder_ / "out");
    for (const std::string& name : names) {
      EXPECT_THAT(name, Not(testing::ContainsRegex("(^|/)[.]"))) << what;
      if (fs::is_directory(folder_ / "out/" + name) ||
          std::find(GetParam().writes.begin(), GetParam().writes.end(), name) == GetParam().writes.end())
        continue;
      const std::string text = read_text(folder_ / "out/" + name);
      old_ones += text == "older" ? 1 : 0;
      new_ones += text == expected_.at(name) ? 1 : 0;
    }
    const std::size_t all = GetParam().writes.size();
    const bool is_new = new_ones == all, is_old = new_ones == 0 && old_ones == (GetParam().keeps ? 0 : all);
    EXPECT_TRUE(outcome.status == 0 ? is_new : is_old || is_new)
        << what << ": " << old_ones << " old, " << new_ones << " new of " << all << "\n"
        << outcome.err;
    if (!GetParam().keeps) {
      EXPECT_EQ(names.size(), all) << what;
    }
  }

  TestFolder folder_, inputs_;
  std::map<std::string, std::string> expected_;
};

TEST_P(Faults, AreSentencesAndLeaveAWholeFolder) {
  fs::create_directory(folder_ / "temporary");
  const bool all = std::getenv("VENE_FAULTS") != nullptr;
  const Outcome good = run_with({"none", EIO}, 0);
  ASSERT_EQ(good.status, 0) << good.err;
  for (const std::string& name : GetParam().writes) expected_[name] = read_text(folder_ / "out/" + name);
  for (const Fault& fault :
       {Fault{"open", EIO}, Fault{"read", EIO}, Fault{"write", ENOSPC}, Fault{"rename", EIO}, Fault{"sync", EIO}}) {
    ASSERT_EQ(run_with(fault, 0).status, 0);
    const long count = std::atol(read_text(folder_ / "count").c_str());
    RecordProperty(std::string(fault.call) + "s", static_cast<int>(count));
    EXPECT_TRUE(count > 0 || GetParam().writes.empty()) << fault.call << ": the fault never comes";
    for (const long number : chosen(count, all)) {
      const std::string what = std::string(GetParam().name) + ": " + fault.call + " " + std::to_string(number) +
                               " of " + std::to_string(count);
      expect_whole(run_with(fault, number), what);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(OfEach, Faults, testing::ValuesIn(commands()), [](const auto& instance) {
  std::string name = instance.param.name;
  std::erase(name, '-');
  return name;
});

}  // namespace
