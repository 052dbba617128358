// SPDX-License-Identifier: Apache-2.0
// What is in a picture, and where: SVGs are taken apart, every text inside the canvas and none on another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>

#include "test_folder.h"
#include "unit/viz/maps.h"
#include "vene/base/error.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"
#include "vene/viz/trace_maps.h"

namespace vene_test {
namespace {

using testing::HasSubstr;

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Text {
  std::string text;
  double left, right, top, bottom;  // of a box about it
  std::string anchor;               // "start", "middle", "end"
};

struct Svg {
  double width = 0, height = 0;
  std::vector<Text> texts;
};

std::string without_tags(const std::string& inner) {
  std::string text = std::regex_replace(inner, std::regex("<[^>]*>"), "");
  return std::regex_replace(std::regex_replace(text, std::regex("&[a-z#0-9]+;"), "x"), std::regex("\xC2\xA0"), " ");
}

// Boxes by the widths that letters have on the average; gnuplot turns a text by 90 degrees to the left, or not at all.
Svg parse_svg(const std::string& svg) {
  Svg parsed;
  std::smatch found;
  EXPECT_TRUE(std::regex_search(svg, found, std::regex("viewBox=\"0 0 ([0-9.]+) ([0-9.]+)\"")));
  parsed.width = std::stod(found[1]);
  parsed.height = std::stod(found[2]);
  static const std::regex kText(
      "<g transform=\"translate\\(([-0-9.]+),([-0-9.]+)\\)( rotate\\(([-0-9.]+)\\))?\"[^>]*font-size=\"([0-9.]+)\""
      "[^>]*text-anchor=\"([a-z]+)\"[^>]*>\\s*<text>([^\\n]*)</text>");
  for (auto one = std::sregex_iterator(svg.begin(), svg.end(), kText); one != std::sregex_iterator(); ++one) {
    const double x = std::stod((*one)[1]), y = std::stod((*one)[2]), size = std::stod((*one)[5]);
    const std::string text = without_tags((*one)[7]), anchor = (*one)[6];
    const auto letters = static_cast<double>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
    const double width = 0.55 * size * letters, begin = anchor == "start" ? 0 : anchor == "end" ? -width : -width / 2;
    if ((*one)[4].matched && std::stod((*one)[4]) != 0) {
      parsed.texts.push_back({text, x - 0.75 * size, x + 0.25 * size, y - begin - width, y - begin, anchor});
    } else {
      parsed.texts.push_back({text, x + begin, x + begin + width, y - 0.75 * size, y + 0.25 * size, anchor});
    }
  }
  return parsed;
}

void expect_tidy(const Svg& svg) {
  for (std::size_t i = 0; i < svg.texts.size(); ++i) {
    const Text& one = svg.texts[i];
    EXPECT_GE(one.left, 0) << one.text;
    EXPECT_LE(one.right, svg.width) << one.text;
    EXPECT_GE(one.top, 0) << one.text;
    EXPECT_LE(one.bottom, svg.height) << one.text;
    for (std::size_t j = i + 1; j < svg.texts.size(); ++j) {
      const Text& other = svg.texts[j];
      const bool apart = one.right <= other.left || other.right <= one.left || one.bottom <= other.top + 1 ||
                         other.bottom <= one.top + 1;
      EXPECT_TRUE(apart) << "'" << one.text << "' and '" << other.text << "'";
    }
  }
}

std::vector<std::string> texts_of(const Svg& svg) {
  std::vector<std::string> texts;
  for (const Text& text : svg.texts) texts.push_back(text.text);
  return texts;
}

class Pictures : public testing::Test {
 protected:
  void SetUp() override {
    if (!vene::gnuplot_available()) GTEST_SKIP() << "gnuplot is absent";
  }
  Svg drawn(const std::vector<vene::HeatMap>& maps, const std::string& title = "\"The Space Needle\" -> \" Seattle\"") {
    vene::draw_heat_maps({folder_ / "picture.svg"}, maps, title);
    return parse_svg(read_text(folder_ / "picture.svg"));
  }
  TestFolder folder_;
};

TEST_F(Pictures, TextsAreInsideTheCanvasAndApart) {
  for (const std::int64_t tokens : {6, 20, 46}) {
    for (const std::int64_t layers : {5, 12, 48}) {
      for (const std::size_t panels : {1U, 2U, 3U}) {
        SCOPED_TRACE(std::to_string(tokens) + " tokens, " + std::to_string(layers) + " layers, " +
                     std::to_string(panels) + " panels");
        const Svg svg = drawn(random_maps(tokens, layers, panels));
        const auto texts = texts_of(svg);
        // Each panel has a label for every token, a title, and an axis label: none is lost.
        EXPECT_GE(texts.size(), panels * static_cast<std::size_t>(tokens + 3));
        EXPECT_THAT(texts, testing::Contains("restored layer"));
        EXPECT_EQ(std::count(texts.begin(), texts.end(), "P(Seattle)"), panels);
        expect_tidy(svg);
      }
    }
  }
}

TEST_F(Pictures, LongTitlesAndLabelsStayInside) {
  std::vector<vene::HeatMap> maps = random_maps(6, 5, 2);
  maps[0].rows[2] = "a token that is a whole sentence by itself, which no panel has room for";
  maps[1].x_label = "layer of transformer.h.0.attn.c_proj.output, head 11";
  std::string title;
  for (int i = 0; i < 60; ++i) title += "a long prompt ";
  expect_tidy(drawn(maps, title));
  expect_tidy(drawn({maps[1]}, title));
}

// Letters of 10.5 points; how many are left of them where the picture is as wide as a page's text.
double points_in_print(const Svg& svg) {
  return 10.5 * std::min({1.0, 6.75 * 96 / svg.width, 9 * 96 / svg.height});
}

TEST_F(Pictures, LettersAreLegibleInPrint) {
  for (const std::int64_t layers : {5, 12, 48}) {
    EXPECT_GE(points_in_print(drawn(random_maps(6, layers))), 6) << layers;
    EXPECT_GE(points_in_print(drawn(random_maps(20, layers, 1))), 6) << layers;
  }
}

TEST_F(Pictures, ManyLayersStackAndFewStandSideBySide) {
  const Svg few = drawn(random_maps(6, 6)), many = drawn(random_maps(6, 48));
  EXPECT_GT(few.width, 2 * few.height);
  EXPECT_LT(many.width, 1200);
  std::vector<double> heights;
  for (const Text& text : many.texts) {
    if (text.text.find("restored layer") != std::string::npos) heights.push_back(text.bottom);
  }
  ASSERT_EQ(heights.size(), 3U);
  EXPECT_LT(heights[0] + 200, heights[1]);
  EXPECT_LT(heights[1] + 200, heights[2]);
}

TEST_F(Pictures, ColourBarsHaveNoNumberTwice) {
  std::vector<vene::HeatMap> maps = random_maps(6, 5, 1);
  maps[0].columns = {"a", "b", "c", "d", "e"};  // so that every number is one of the bar's
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{{4.4179e-5, 4.4311e-5},
                                                                        {0, 1},
                                                                        {-3, 5},
                                                                        {0.9990001, 0.9990009},
                                                                        {-1e-7, 3e-7},
                                                                        {1234567, 1234571},
                                                                        {2, 2}}) {
    maps[0].values = torch::linspace(low, high, 30, torch::kFloat64).view({6, 5});
    const Svg svg = drawn(maps);
    std::vector<std::string> numbers;
    for (const Text& text : svg.texts) {  // those at the bar begin there; a layer's stands in the middle of its column
      if (text.anchor == "start" && text.text.find_first_not_of("0123456789.e+-") == std::string::npos)
        numbers.push_back(text.text);
    }
    EXPECT_GE(numbers.size(), low < high ? 2U : 1U) << low << " to " << high;
    std::sort(numbers.begin(), numbers.end());
    EXPECT_EQ(std::adjacent_find(numbers.begin(), numbers.end()), numbers.end())
        << low << " to " << high << ": " << testing::PrintToString(numbers);
    expect_tidy(svg);
  }
}

TEST_F(Pictures, APdfFitsOnAPage) {
  for (const std::int64_t layers : {6, 48}) {
    vene::draw_heat_maps({folder_ / "picture.pdf"}, random_maps(20, layers), "title");
    const std::string pdf = read_text(folder_ / "picture.pdf");
    EXPECT_TRUE(pdf.starts_with("%PDF-"));
    std::smatch box;
    ASSERT_TRUE(std::regex_search(pdf, box, std::regex("/MediaBox \\[ ?0 0 ([0-9.]+) ([0-9.]+) ?\\]")));
    EXPECT_LE(std::stod(box[1]), 6.75 * 72 + 1);
    EXPECT_LE(std::stod(box[2]), 9 * 72 + 1);
    EXPECT_GT(std::stod(box[1]), 200);
  }
}

TEST_F(Pictures, ValuesThatAreNoNumbersAreLeftOut) {
  std::vector<vene::HeatMap> maps = random_maps(6, 5, 1);
  const auto cells = [&] {
    vene::draw_heat_maps({folder_ / "picture.svg"}, maps, "title");
    const std::string svg = read_text(folder_ / "picture.svg");
    static const std::regex kFilled("<polygon fill");
    return std::distance(std::sregex_iterator(svg.begin(), svg.end(), kFilled), std::sregex_iterator());
  };
  const auto whole = cells();
  maps[0].values[2][3] = NAN;
  maps[0].values[4][0] = INFINITY;
  EXPECT_EQ(cells(), whole - 2);
  maps[0].values.fill_(NAN);
  EXPECT_NO_THROW(cells());
}

TEST_F(Pictures, AnotherEndingIsRefused) {
  for (const char* name : {"picture.jpg", "picture", ".png"}) {
    try {
      vene::draw_heat_maps({folder_ / name}, random_maps(6, 5, 1), "title");
      ADD_FAILURE() << name;
    } catch (const vene::IoError& error) {
      EXPECT_THAT(error.what(), HasSubstr("expected a name ending in .png, .svg or .pdf"));
    }
  }
}

TEST_F(Pictures, ACurveMayHaveOthersBesideIt) {
  vene::Curve curve{"Loss", "step", "nats", {0, 1, 2, 3}, {4, 3, 2, 1}};
  vene::draw_curve(folder_ / "one.svg", curve);
  EXPECT_THAT(read_text(folder_ / "one.svg"), testing::Not(HasSubstr("validation")));
  curve.name = "training";
  curve.others.push_back({"validation", {1, 3}, {3.5, 2}});
  vene::draw_curve(folder_ / "two.svg", curve);
  const Svg svg = parse_svg(read_text(folder_ / "two.svg"));
  EXPECT_THAT(texts_of(svg), testing::IsSupersetOf({"Loss", "step", "nats", "training", "validation"}));
  expect_tidy(svg);
  vene::draw_curve(folder_ / "two.pdf", curve);
  EXPECT_TRUE(read_text(folder_ / "two.pdf").starts_with("%PDF-"));
}

TEST(TraceMaps, AnchorTheirColoursAsAsked) {
  vene::CausalTrace trace;
  trace.tokens = {"a", " b"};
  trace.corrupted = 0.3;
  trace.clean = 1.2345e-5;
  trace.streams.push_back({"block_output", 1, torch::tensor({{0.1, 0.5}, {0.2, 0.4}}, torch::kFloat64)});
  trace.streams.push_back({"mlp_activation", 2, torch::tensor({{0.25, 0.9}, {0.3, 0.4}}, torch::kFloat64)});
  for (const vene::HeatMap& map : vene::trace_maps(trace)) EXPECT_FALSE(map.range);
  for (const vene::HeatMap& map : vene::trace_maps(trace, vene::MapScale::kShared))
    EXPECT_EQ(map.range, std::make_pair(0.1, 0.9));
  const auto anchored = vene::trace_maps(trace, vene::MapScale::kCorrupted);
  EXPECT_EQ(anchored[0].range, std::make_pair(0.3, 0.9));
  EXPECT_EQ(anchored[0].name, "block_output");
  EXPECT_EQ(anchored[1].name, "mlp_activation");
  EXPECT_THAT(vene::trace_title(trace), testing::EndsWith("clean 1.23e-05, corrupted 0.3"));
}

}  // namespace
}  // namespace vene_test
