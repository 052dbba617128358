// SPDX-License-Identifier: Apache-2.0
#include "src/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>

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

TEST(JsonTest, ALongListOfObjectsTakesNoTimeThatGrowsWithItsSquare) {
  std::string list = "[{}";
  for (int i = 1; i < 200'000; ++i) list += ",{\"a\":[1]}";
  std::string problem;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(read_json(list + "]", problem).size(), 200'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(JsonTest, AKeyGivenTwiceIsRefusedInItsOwnObjectOnly) {
  EXPECT_EQ(problem_of(R"({"a": 1, "b": {"c": 1, "c": 2}})"), "key 'c' is given twice in one object");
  EXPECT_EQ(problem_of(R"([{"a": 1}, {"a": {"a": 1}}])"), "");
}

TEST(JsonTest, WhatIsNoJsonIsSaidWithItsPlace) {
  EXPECT_THAT(problem_of("{\n \"a\" 1}"), testing::StartsWith("not JSON: line 2, column 6"))
      << problem_of("{\n \"a\" 1}");
  EXPECT_NE(problem_of(""), "");
  EXPECT_EQ(problem_of("[1e999]"), "not JSON: number overflow parsing '1e999'");
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

TEST(JsonTest, NumbersThatArePythonsAloneAreReadWhereAskedFor) {
  using vene::detail::NonFinite;
  const std::string text = R"({"a": [NaN, Infinity, -Infinity], "b": "Infinity \" NaN", "c": "\\"})";
  EXPECT_NE(problem_of(text), "");
  std::string problem;
  const auto json = read_json(text, problem, NonFinite::kRead);
  EXPECT_EQ(problem, "");
  EXPECT_TRUE(std::isnan(json["a"][0].get<double>()));
  EXPECT_EQ(json["a"][1].get<double>(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(json["a"][2].get<double>(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(json["b"], "Infinity \" NaN");
  EXPECT_EQ(json["c"], "\\");
  EXPECT_EQ(json_text(json["a"][2]), "-Infinity");
  read_json(R"({"a": NaNs})", problem, NonFinite::kRead);
  EXPECT_NE(problem, "");
}

TEST(JsonTest, MembersKeepTheOrderOfTheTextWhereAskedFor) {
  std::string problem;
  const auto json = vene::detail::read_ordered_json(R"({"b": 1, "a": 2})", problem);
  EXPECT_EQ(json.begin().key(), "b");
  vene::detail::read_ordered_json(R"({"b": 1, "b": 2})", problem);
  EXPECT_EQ(problem, "key 'b' is given twice in one object");
}

TEST(JsonTest, TextThatIsNoUtf8CanBeWritten) {
  EXPECT_EQ(vene::detail::written_json(vene::detail::Json("\xff"), -1), "\"\xef\xbf\xbd\"");
}

TEST(JsonTest, AQuotedValueIsShortAndCutBetweenCharacters) {
  const std::string text = json_text(std::string(100, 'x') + "\xc3\xa9");
  EXPECT_EQ(text.size(), 80U);
  EXPECT_TRUE(text.ends_with("..."));
}

}  // namespace
