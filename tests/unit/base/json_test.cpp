// SPDX-License-Identifier: Apache-2.0
#include "src/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vene/base/error.h"

namespace {

using vene::detail::json_text;
using vene::detail::read_json;

std::string problem_of(const std::string& text) {
  std::string problem;
  read_json(text, problem);
  return problem;
}

TEST(JsonTest, ReadsWhatIsRight) {
  std::string problem = "old";
  EXPECT_EQ(read_json(R"({"a": [1, "]]]]"], "b": {"a": 2}})", problem)["b"]["a"], 2);
  EXPECT_EQ(problem, "");
}

TEST(JsonTest, NestingIsRefusedBeforeAnythingIsBuilt) {
  for (const int depth : {65, 1000, 3'000'000}) {
    EXPECT_EQ(problem_of(std::string(depth, '[')), "JSON nested deeper than 64") << depth;
    std::string objects;
    for (int i = 0; i < depth; ++i) objects += "{\"a\":";
    EXPECT_EQ(problem_of(objects), "JSON nested deeper than 64") << depth;
  }
  EXPECT_EQ(problem_of(std::string(64, '[') + std::string(64, ']')), "");
}

TEST(JsonTest, AKeyGivenTwiceIsRefusedInItsOwnObjectOnly) {
  EXPECT_EQ(problem_of(R"({"a": 1, "b": {"c": 1, "c": 2}})"), "key 'c' is given twice in one object");
  EXPECT_EQ(problem_of(R"([{"a": 1}, {"a": {"a": 1}}])"), "");
}

TEST(JsonTest, WhatIsNoJsonIsSaidWithItsPlace) {
  EXPECT_THAT(problem_of("{\n \"a\" 1}"), testing::StartsWith("not JSON: line 2, column 6"))
      << problem_of("{\n \"a\" 1}");
  EXPECT_NE(problem_of(""), "");
  EXPECT_NE(problem_of("\xff\xfe"), "");
}

TEST(JsonTest, TheErrorHasTheClassAndThePlaceThatTheReaderChose) {
  try {
    read_json<vene::ModelError>("[", "config.json");
    FAIL();
  } catch (const vene::ModelError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("config.json: not JSON")) << error.what();
  }
}

TEST(JsonTest, AQuotedValueIsShortAndCutBetweenCharacters) {
  const std::string text = json_text(std::string(100, 'x') + "\xc3\xa9");
  EXPECT_EQ(text.size(), 80U);
  EXPECT_TRUE(text.ends_with("..."));
}

}  // namespace
