// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "unit/viz/maps.h"
#include "vene/viz/heat_map.h"

namespace vene_test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t characters(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t widest(const std::string& map) {
  std::size_t width = 0;
  for (const std::string& line : lines_of(map)) width = std::max(width, characters(line));
  return width;
}

TEST(TerminalMap, FitsItsTerminal) {
  for (const std::int64_t tokens : {6, 20, 46}) {
    for (const std::int64_t layers : {5, 12, 48, 96}) {
      for (const std::size_t width : {80U, 100U}) {
        const vene::HeatMap map = random_maps(tokens, layers, 1)[0];
        const std::string text = vene::terminal_heat_map(map, {.colour = false, .width = width});
        EXPECT_LE(widest(text), width) << tokens << " x " << layers;
      }
    }
  }
}

TEST(TerminalMap, ManyLayersHaveNarrowCellsAndLoseNone) {
  vene::HeatMap map = random_maps(6, 48, 1)[0];
  map.values.zero_();
  map.values[0][47] = 1;
  map.values[0][1] = 0.5;
  const auto lines = lines_of(vene::terminal_heat_map(map, {.colour = false, .width = 80}));
  EXPECT_THAT(lines[1], testing::EndsWith("The* | +" + std::string(45, ' ') + "@|"));
  EXPECT_THAT(lines[7], HasSubstr("0  3  6  9  12 15 18"));
  // Without a width nothing changes: two columns a layer.
  EXPECT_EQ(widest(vene::terminal_heat_map(map, {.colour = false})) > 100, true);
}

TEST(TerminalMap, TooManyLayersSayWhichAreShown) {
  const vene::HeatMap map = random_maps(6, 96, 1)[0];
  const std::string text = vene::terminal_heat_map(map, {.colour = false, .width = 80});
  EXPECT_THAT(text, HasSubstr("one in 2 of 96 columns is shown\n"));
  EXPECT_THAT(text, HasSubstr("0  6  12 18"));
  EXPECT_THAT(vene::terminal_heat_map(random_maps(6, 48, 1)[0], {.colour = false, .width = 80}),
              Not(HasSubstr("one in")));
}

TEST(TerminalMap, ColoursAreOfTheKindThatTheTerminalHas) {
  const vene::HeatMap map = random_maps(6, 5, 1)[0];
  const std::string many = vene::terminal_heat_map(map), few = vene::terminal_heat_map(map, {.true_colour = false}),
                    none = vene::terminal_heat_map(map, {.colour = false});
  EXPECT_THAT(many, HasSubstr("\x1b[48;2;245;245;245m"));
  EXPECT_THAT(many, Not(HasSubstr("\x1b[48;5;")));
  EXPECT_THAT(few, HasSubstr("\x1b[48;5;255m"));  // the lightest grey, 238
  EXPECT_THAT(few, HasSubstr("\x1b[48;5;54m"));   // 95, 0, 135
  EXPECT_THAT(few, Not(HasSubstr("\x1b[48;2;")));
  EXPECT_THAT(none, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace vene_test
