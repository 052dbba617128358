// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "vene/base/error.h"
#include "vene/locations/locations.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

HopSelection parallel(const std::string& json) {
  return Locations::parse(json).hops.at("sources->base");
}

RowSelection ints(std::vector<std::int64_t> values) {
  return at(std::move(values)).selection;
}

UnitSelection every_row(RowSelection row) {
  return std::vector<AxisSelection>{AxisSelection{{std::move(row)}}};
}

TEST(LocationsParseTest, NullMeansNoLocations) {
  EXPECT_TRUE(Locations::parse("null").empty());
}

TEST(LocationsParseTest, OneIntIsBothSides) {
  const HopSelection hop = parallel(R"({"sources->base": 3})");
  EXPECT_FALSE(hop.source.has_value());
  EXPECT_TRUE(hop.base.for_all);
  EXPECT_EQ(hop.base.units[0], every_row(ints({3})));
}

TEST(LocationsParseTest, TwoIntsUnderSourcesToBaseAreSourceAndBase) {
  const HopSelection hop = parallel(R"({"sources->base": [1, 2]})");
  EXPECT_EQ(hop.source->units[0], every_row(ints({1})));
  EXPECT_EQ(hop.base.units[0], every_row(ints({2})));
}

TEST(LocationsParseTest, TwoIntsUnderBaseAreTwoPositionsNotAPair) {
  const HopSelection hop = parallel(R"({"base": [1, 2]})");
  EXPECT_FALSE(hop.source.has_value());
  EXPECT_EQ(hop.base.units[0], every_row(ints({1, 2})));
}

TEST(LocationsParseTest, FlatListsInsideAPairAreSetsForEveryRow) {
  const HopSelection hop = parallel(R"({"sources->base": [[0, 1], [2, 3]]})");
  EXPECT_EQ(hop.source->units[0], every_row(ints({0, 1})));
  EXPECT_EQ(hop.base.units[0], every_row(ints({2, 3})));
}

TEST(LocationsParseTest, PyvenesNestedListsAreInterventionRowUnit) {
  const HopSelection hop = parallel(R"({"sources->base": [[[[0], [1]], null], [[[2], [3]], [[4], [5]]]]})");
  ASSERT_FALSE(hop.source->for_all);
  EXPECT_EQ(hop.source->units.size(), 2U);
  EXPECT_FALSE(hop.source->units[1].has_value());
  EXPECT_EQ(hop.base.units[1]->at(0).rows, (std::vector<RowSelection>{ints({4}), ints({5})}));
}

TEST(LocationsParseTest, HeadsAndPositionsNestFourDeepOrByName) {
  const HopSelection nested = parallel(R"({"base": [[[[0, 1]], [[2]]]]})");
  ASSERT_EQ(nested.base.units[0]->size(), 2U);
  EXPECT_EQ(nested.base.units[0]->at(0).rows[0], ints({0, 1}));
  EXPECT_EQ(nested.base.units[0]->at(1).rows[0], ints({2}));
  const HopSelection named = parallel(R"({"base": {"h": [0, 1], "pos": 2}})");
  EXPECT_TRUE(named.base.for_all);
  EXPECT_EQ(named.base.units[0], nested.base.units[0]);
}

TEST(LocationsParseTest, RowsMayBeRaggedAndEmpty) {
  const HopSelection hop = parallel(R"({"base": [[1], [], [2, 3]]})");
  EXPECT_TRUE(hop.base.for_all);
  EXPECT_EQ(hop.base.units[0]->at(0).rows, (std::vector<RowSelection>{ints({1}), ints({}), ints({2, 3})}));
}

TEST(LocationsParseTest, NamedPositionsMixWithNumbers) {
  const HopSelection hop = parallel(R"({"base": [0, "last", {"token": " Lily", "occurrence": 1}, {"span": [2, 5]}]})");
  EXPECT_EQ(hop.base.units[0], every_row((at(0) + last() + token(" Lily", 1) + span(2, 5)).selection));
}

TEST(LocationsParseTest, NamedPositionIsBothSides) {
  EXPECT_EQ(Locations::parse(R"({"sources->base": "last"})"), Locations(last()));
  EXPECT_EQ(Locations::parse(R"({"sources->base": ["first", "last"]})"), from(first(), last()));
  EXPECT_EQ(Locations::parse(R"({"base": {"last": 7}})"), Locations(last(7)));
}

TEST(LocationsParseTest, SerialModeHasOneEntryAHop) {
  const Locations locations = Locations::parse(R"({"source_0->source_1": 1, "source_1->base": [2, 3]})");
  EXPECT_EQ(locations.hops.size(), 2U);
  EXPECT_TRUE(locations.hops.contains("source_0->source_1"));
}

TEST(LocationsParseTest, ErrorsSayWhereAndWhat) {
  auto message = [](const char* json, const char* text) {
    EXPECT_THAT([&] { Locations::parse(json); }, ThrowsMessage<ConfigError>(HasSubstr(text))) << json;
  };
  message("3", "unit_locations: expected null or an object such as {\"base\": 3}, got 3");
  message("{", "unit_locations: not JSON");
  message(R"({"base": 0, "base": 1})", "unit_locations: key 'base' is given twice in one object");
  EXPECT_THAT([&] { Locations::parse(std::string(200'000, '[')); },
              ThrowsMessage<ConfigError>(HasSubstr("unit_locations: JSON nested deeper than 64")));
  message(R"({"bass": 3})", "unknown key 'bass'; did you mean 'base'");
  message(R"({"base": "lst"})", "unit_locations.base: unknown position 'lst'; did you mean 'last'");
  message(R"({"base": 1.5})", "unit_locations.base");
  message(R"({"base": true})", "unit_locations.base");
  message(R"({"base": {"span": [1]}})", "unit_locations.base.span: expected [begin, end], got [1]");
  message(R"({"base": {"token": ""}})", "unit_locations.base.token: expected a piece of text");
  message(R"({"base": {"tokn": " a"}})", "unit_locations.base: expected one of the keys");
  message(R"({"base": {"token": " a", "occurence": 1}})", "unknown key 'occurence'; did you mean 'occurrence'");
  message(R"({"sources->base": [1, 2, 3]})", "one position for both sides, or [SRC, BASE]");
  message(R"({"base": {"h": 1}})", "both \"h\" and \"pos\"");
  message(R"({"base": 1, "sources->base": 2})", "give one");
  message(R"({"base": [[[[[1]]]]]})", "unit_locations.base");
}

TEST(LocationsMakersTest, PlusJoinsInOrder) {
  const Positions ends = first(2) + last(2);
  EXPECT_EQ(ends.selection.size(), 2U);
  EXPECT_EQ(ends.selection[0].kind, Selector::Kind::kFirst);
  EXPECT_EQ(ends.selection[1].kind, Selector::Kind::kLast);
}

TEST(LocationsMakersTest, MakersEqualTheirJson) {
  EXPECT_EQ(Locations(at(3)), Locations::parse(R"({"sources->base": 3})"));
  EXPECT_EQ(per_row({{1}, {2, 3}}).hops.at("sources->base").base, parallel(R"({"base": [[1], [2, 3]]})").base);
  EXPECT_EQ(heads_at({0, 1}, at(2)).hops.at("sources->base").base,
            parallel(R"({"base": {"h": [0, 1], "pos": 2}})").base);
}

}  // namespace
}  // namespace vene
