// SPDX-License-Identifier: Apache-2.0
#include "src/base/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "src/base/at_place.h"
#include "tests/places.h"

namespace {

using testing::HasSubstr;
using testing::StrEq;
using testing::ThrowsMessage;
using vene::ConfigError;
using vene::detail::Json;
using vene::detail::JsonReader;
using vene::detail::Problems;
namespace fs = std::filesystem;

template <class F>
std::string message(F&& fn) {
  try {
    fn();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(JsonReaderTest, ProblemsSayWhereWhatWasExpectedAndWhatCame) {
  const Json json = {{"a", {{"list", {1, "two"}}}}, {"n", -1}};
  JsonReader root = JsonReader::root(json, "file");
  JsonReader a = root.at("a");
  EXPECT_EQ(message([&] { root.at("b"); }), "file: 'b' is missing");
  EXPECT_EQ(message([&] { a.at("b"); }), "a: 'b' is missing");
  EXPECT_EQ(message([&] { a.boolean(); }), R"(a: expected true or false, got {"list":[1,"two"]})");
  EXPECT_EQ(message([&] { a.at("list").each("a list").at(1).integer(); }),
            R"(a.list[1]: expected an integer, got "two")");
  EXPECT_EQ(message([&] { a.at("list").integers("a list of ids", "an id"); }),
            R"(a.list[1]: expected an id, got "two")");
  EXPECT_EQ(message([&] { root.at("n").integer("a count", 0); }), "n: expected a count, got -1");
  EXPECT_EQ(message([&] { root.at("n").each("a list"); }), "n: expected a list, got -1");
}

TEST(JsonReaderTest, NumbersThatDoNotFitAreNoIntegers) {
  const Json json = {std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1};
  EXPECT_FALSE(JsonReader(json[0], "x").is_integer());
  EXPECT_EQ(JsonReader(json[1], "x").integer(), JsonReader::kMost);
  EXPECT_EQ(message([&] { JsonReader(json, "x").integers("a list", "an id"); }),
            "x[0]: expected an id, got 9223372036854775808");
}

TEST(JsonReaderTest, NamesThatAreNotKnownGetTheNearest) {
  const Json json = {{"epoch", 1}, {"optimizer", "addam"}};
  JsonReader root(json, "training");
  EXPECT_EQ(message([&] {
              root.at("optimizer").one_of("optimizer", {"adam", "sgd"});
            }),
            "training.optimizer: unknown optimizer 'addam'; did you mean 'adam'?");
  (void)root.find("epochs");
  EXPECT_EQ(message([&] { root.refuse_others(); }), "training: unknown key 'epoch'; did you mean 'epochs'?");
}

TEST(JsonReaderTest, WhatAFileNamesIsQuotedShort) {
  const std::string name(30'000, 'x');
  const Json json = {{name, name}};
  for (const std::string& text : {message([&] { JsonReader(json, "").refuse_others({"a"}); }), message([&] {
                                    JsonReader(json[name], "").one_of("name", {"a", name.substr(1)});
                                  })})
    EXPECT_LT(text.size(), 300U) << text;
}

TEST(JsonReaderTest, ManyProblemsAreOneErrorOfManyLines) {
  Problems problems;
  problems.raise();
  problems.collect([] {});
  problems.add("a", "is wrong");
  problems.collect([] { throw ConfigError("b: is wrong"); });
  EXPECT_EQ(message([&] { problems.raise(); }), "a: is wrong\nb: is wrong");
  for (int i = 0; i < 200; ++i) problems.add("", "x");
  EXPECT_THAT(message([&] { problems.raise(); }), testing::EndsWith("x\nand 102 further problems"));
}

class Derived : public vene::PlanError {
  using PlanError::PlanError;
};

TEST(AtPlaceTest, AnErrorKeepsItsClass) {
  using vene::detail::at_place;
  EXPECT_EQ(at_place("x", [] { return 3; }), 3);
  EXPECT_THAT([] { at_place("file", [] { throw vene::LocationError("far"); }); },
              ThrowsMessage<vene::LocationError>(StrEq("file: far")));
  EXPECT_THAT([] { at_place("file", [] { throw vene::ModelError("far"); }); },
              ThrowsMessage<vene::ModelError>(StrEq("file: far")));
  EXPECT_THAT([] { at_place("file", [] { throw vene::IoError("far"); }); },
              ThrowsMessage<vene::IoError>(StrEq("file: far")));
  EXPECT_THAT([] { at_place("file", [] { throw vene::PlanError("far"); }); },
              ThrowsMessage<vene::PlanError>(StrEq("file: far")));
  EXPECT_THAT([] { at_place("file", [] { throw vene::Error("far"); }); },
              ThrowsMessage<vene::Error>(StrEq("file: far")));
  EXPECT_THROW(at_place("file", [] { throw Derived("far"); }), Derived);
}

// Limits and keys given twice are seen to by one function, which everything that is read goes through.
TEST(JsonReaderTest, NobodyElseParsesJson) {
  const fs::path root = vene_test::kSourceFolder;
  const std::regex parse(R"(\bjson\s*::\s*parse\s*\()", std::regex::icase);
  int checked = 0;
  for (const char* top : {"include", "src", "models"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string name = fs::relative(entry.path(), root).string();
      if (!entry.is_regular_file() || name == "src/base/json.cpp") continue;
      std::ifstream file(entry.path());
      std::ostringstream text;
      text << file.rdbuf();
      EXPECT_FALSE(std::regex_search(text.str(), parse)) << name << " parses JSON by itself; use detail::read_json";
      ++checked;
    }
  }
  EXPECT_GT(checked, 100);
}

}  // namespace
