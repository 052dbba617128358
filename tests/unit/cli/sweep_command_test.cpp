// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/test_folder.h"
#include "unit/cli/child.h"

namespace vene_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

class SweepCommand : public testing::Test {
 protected:
  nlohmann::json example() const {
    return nlohmann::json::parse(read_text(source_path("examples/sweeps/patch_grid.json")));
  }
  Outcome sweep(const nlohmann::json& spec, const std::vector<std::string>& more = {}) {
    write_text(folder_ / "spec.json", spec.dump());
    std::vector<std::string> arguments{"sweep", "-m", bundled_model(), folder_ / "spec.json", "-o", folder_ / "out"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vene_command(arguments);
  }
  TestFolder folder_;
};

TEST_F(SweepCommand, WritesATableARecordAndAMap) {
  const Outcome outcome = sweep(example());
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("logit_diff of 48 interventions"), HasSubstr("layer 5 |")));
  const auto lines = lines_of(read_text(folder_ / "out/sweep.csv"));
  ASSERT_EQ(lines.size(), 49U);
  EXPECT_EQ(lines[0], "layer,position,value,base");
  const auto record = nlohmann::json::parse(read_text(folder_ / "out/sweep.json"));
  EXPECT_EQ(record["spec"], example());
  EXPECT_EQ(record["joined"], 48);
  // The whole of what the other prompt says comes through the last position of the last layer.
  EXPECT_GT(record["values"][47][0].get<double>(), 10);
  EXPECT_LT(record["base"][47][0].get<double>(), -10);
}

TEST_F(SweepCommand, ATableMayHaveALineARow) {
  nlohmann::json spec = example();
  spec["base"]["text"] = {"The Eiffel Tower is in downtown", "The Louvre is in downtown"};
  spec["axes"]["position"] = {-1};
  const Outcome outcome = sweep(spec, {"--per-row", "--no-picture", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto lines = lines_of(read_text(folder_ / "out/sweep.csv"));
  EXPECT_EQ(lines.size(), 13U);
  EXPECT_EQ(lines[0], "layer,position,row,value,base");
  EXPECT_EQ(nlohmann::json::parse(outcome.out), nlohmann::json::parse(read_text(folder_ / "out/sweep.json")));
  EXPECT_FALSE(fs::exists(folder_ / "out/sweep.png"));
}

TEST_F(SweepCommand, CellsThatFailAreNamedAndTheOthersWritten) {
  nlohmann::json spec = example();
  spec["axes"]["position"] = {0, 50};
  const Outcome outcome = sweep(spec, {"--no-picture"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("warning: layer=0, position=50: "),
                                 HasSubstr("6 of 12 cells failed, and have no value; all of them are in sweep.json")));
  EXPECT_EQ(nlohmann::json::parse(read_text(folder_ / "out/sweep.json"))["failures"].size(), 6U);
}

TEST_F(SweepCommand, WhatIsWrongIsSaidAndNothingWritten) {
  nlohmann::json spec = example();
  spec["axes"]["scale"] = {1};
  const Outcome outcome = sweep(spec);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(lines_of(outcome.err).size(), 1U);
  EXPECT_THAT(outcome.err, HasSubstr("spec.json: axes.scale: nothing in the spec says \"$scale\""));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

}  // namespace
}  // namespace vene_test
