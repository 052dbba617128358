// SPDX-License-Identifier: Apache-2.0
// The vene command with --device: a build of it that has the stand-in linked in says and writes what it does on the
// CPU.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tests/unit/cli/child.h"

namespace vene_test {
namespace {

using testing::HasSubstr;

Outcome on(const std::string& device, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin() + 1, {"--device", device});
  return run_program(program_path("vene_on_stand_in"), arguments);
}

// Whether two texts are the same but for the rounding of numbers.
void expect_same(const std::string& actual, const std::string& expected, double tolerance = 1e-5) {
  const char *a = actual.c_str(), *b = expected.c_str();
  while (*a != '\0' && *b != '\0') {
    char *after_a = nullptr, *after_b = nullptr;
    const double x = std::strtod(a, &after_a), y = std::strtod(b, &after_b);
    if (after_a != a && after_b != b) {
      ASSERT_TRUE(std::abs(x - y) <= tolerance * std::max(1.0, std::abs(y)) || (std::isnan(x) && std::isnan(y)))
          << x << " for " << y;
      a = after_a, b = after_b;
    } else {
      ASSERT_EQ(*a, *b) << "at ..." << std::string(a).substr(0, 60) << "\nfor ..." << std::string(b).substr(0, 60);
      ++a, ++b;
    }
  }
  EXPECT_EQ(std::string(a), std::string(b));
}

class CommandOnDevice : public testing::Test {
 protected:
  // Runs a command on both; "OUT" stands for a folder of each.
  void same(const std::vector<std::string>& command, const std::vector<std::string>& files = {}) {
    SCOPED_TRACE(command[0]);
    std::vector<Outcome> outcomes;
    for (const std::string device : {"cpu", "hpu"}) {
      std::vector<std::string> arguments = command;
      for (std::string& argument : arguments) {
        if (argument == "OUT") argument = (folder_ / (device + command[0])).string();
      }
      outcomes.push_back(on(device, arguments));
      ASSERT_EQ(outcomes.back().status, 0) << device << ": " << outcomes.back().err;
    }
    if (files.empty()) expect_same(outcomes[1].out, outcomes[0].out);
    for (const std::string& file : files)
      expect_same(read_text((folder_ / ("hpu" + command[0]) / file).string()),
                  read_text((folder_ / ("cpu" + command[0]) / file).string()));
  }
  TestFolder test_folder_;
  std::filesystem::path folder_ = test_folder_.path();
};

TEST_F(CommandOnDevice, SaysAndWritesWhatItDoesOnTheCpu) {
  const std::string model = bundled_model();
  same({"generate", "-m", model, "-p", "The Space Needle is in", "-n", "8"});
  same({"generate", "-m", model, "-p", "The Space Needle is in", "-n", "8", "--temp", "0.9", "-s", "3"});
  same({"trace", "-m", model, "-p", "The Space Needle is in downtown", "--subject", "The Space Needle", "--samples",
        "2", "--window", "2", "--rows", "7", "--no-picture", "-o", "OUT"},
       {"trace.csv"});
  same({"locate", "-m", model, "--task", source_path("examples/tasks/gender.json"), "--layers", "1", "--steps", "4",
        "--no-picture", "-o", "OUT"},
       {"locate.csv"});
}

TEST_F(CommandOnDevice, TrainsAsOnTheCpuAndGoesOnWhereItStopped) {
  const std::string spec = source_path("examples/experiments/align_city.train.json");
  std::vector<std::string> logs;
  for (const std::string device : {"cpu", "hpu"}) {
    const std::string out = (folder_ / device).string();
    const std::vector<std::string> command{"train", "-m", bundled_model(), spec, "-o", out};
    ASSERT_EQ(on(device, command).status, 0);
    // Adam makes more of a rounding with each step while the loss falls, and less of it where the loss has fallen.
    std::string ends;
    const std::vector<std::string> lines = lines_of(read_text(out + "/log.csv"));
    ASSERT_GT(lines.size(), 100U);
    for (std::size_t i = 0; i < 6; ++i) ends += lines[i] + "\n";
    logs.push_back(ends + lines.back());
  }
  expect_same(logs[1], logs[0], 1e-4);
  // A training that is over goes on from its checkpoint, the optimizer's state with it, and has nothing to do.
  const std::string out = (folder_ / "hpu").string(), log = read_text(out + "/log.csv");
  const Outcome again = on("hpu", {"train", "-m", bundled_model(), spec, "-o", out, "--resume"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_text(out + "/log.csv"), log);
}

TEST_F(CommandOnDevice, VerifyAllowsADeviceItsOwnOrderOfSums) {
  const std::string golden = source_path("tests/golden/models/gpt2_tied");
  const Outcome outcome =
      on("hpu", {"verify", "-m", golden, "--reference", golden + "/reference.safetensors", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"tolerance\": 0.0001"));
}

TEST_F(CommandOnDevice, TheCommandItselfKnowsNoSuchDevice) {
  const Outcome outcome = vene_command({"generate", "-m", bundled_model(), "-p", "A", "--device", "hpu"});
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("expected cpu, cuda or cuda:N, got 'hpu'"));
  const Outcome fast = vene_command({"generate", "-m", bundled_model(), "-p", "A", "--tf32"});
  EXPECT_EQ(fast.status, 1);
  EXPECT_THAT(fast.err, HasSubstr("--tf32 is for a CUDA device, and --device is cpu"));
}

}  // namespace
}  // namespace vene_test
