// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/resolve.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

// One token a letter; the id is the letter.
class Letters : public text::Tokenizer {
 public:
  std::vector<text::Token> tokens(std::string_view text, const text::EncodeOptions&) const override {
    std::vector<text::Token> all;
    for (std::size_t i = 0; i < text.size(); ++i)
      all.push_back({text[i], std::string(1, text[i]), static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1});
    return all;
  }
  std::string decode(const std::vector<std::int64_t>& ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::string token_text(std::int64_t id) const override { return std::string(1, static_cast<char>(id)); }
  std::optional<std::int64_t> id_of(std::string_view piece) const override {
    return piece.size() == 1 ? std::optional<std::int64_t>(piece[0]) : std::nullopt;
  }
  std::int64_t size() const override { return 128; }
  std::string kind() const override { return "letters"; }
};

torch::Tensor ids_of(const std::vector<std::string>& rows) {
  torch::Tensor ids =
      torch::empty({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())}, torch::kInt64);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c)
      ids[static_cast<std::int64_t>(r)][static_cast<std::int64_t>(c)] = static_cast<std::int64_t>(rows[r][c]);
  }
  return ids;
}

class ResolveTest : public testing::Test {
 protected:
  Letters letters_;
  torch::Tensor ids_ = ids_of({"..abcab", "xyzxy.."});
  torch::Tensor mask_ = torch::tensor({{0, 0, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 0, 0}});
  RowTexts padded_ = RowTexts::of(ids_, mask_, ids_, &letters_);

  AxisIndices resolve(const Positions& positions) const {
    return resolve_positions({{positions.selection}}, padded_, "here");
  }
};

TEST_F(ResolveTest, PositionsCountWithinTheUnpaddedTextAtEitherEnd) {
  EXPECT_THAT(resolve(at(0)), ElementsAre(ElementsAre(2), ElementsAre(0)));
  EXPECT_THAT(resolve(at(-1)), ElementsAre(ElementsAre(6), ElementsAre(4)));
  EXPECT_THAT(resolve(last(2)), ElementsAre(ElementsAre(5, 6), ElementsAre(3, 4)));
  EXPECT_THAT(resolve(first() + last()), ElementsAre(ElementsAre(2, 6), ElementsAre(0, 4)));
  EXPECT_THAT(resolve(span(1, 3)), ElementsAre(ElementsAre(3, 4), ElementsAre(1, 2)));
  EXPECT_THAT(resolve(span(-2, -1)), ElementsAre(ElementsAre(5), ElementsAre(3)));
  EXPECT_THAT(resolve(all()), ElementsAre(ElementsAre(2, 3, 4, 5, 6), ElementsAre(0, 1, 2, 3, 4)));
}

TEST_F(ResolveTest, TextIsFoundByOccurrenceAndMayCoverSeveralTokens) {
  const AxisIndices first_ab = resolve_positions({{token("ab").selection, token("xy", -1).selection}}, padded_, "here");
  EXPECT_THAT(first_ab, ElementsAre(ElementsAre(2, 3), ElementsAre(3, 4)));
  EXPECT_THAT(resolve_positions({{token("ab", 1).selection, token("z").selection}}, padded_, "here"),
              ElementsAre(ElementsAre(5, 6), ElementsAre(2)));
}

TEST_F(ResolveTest, ErrorsSayRowAndRange) {
  EXPECT_THAT([&] { resolve(at(5)); },
              ThrowsMessage<LocationError>(
                  HasSubstr("here, row 0: position 5 is out of range: the row has 5, 0 to 4 or -1 to -5")));
  EXPECT_THAT([&] { resolve(at(-6)); }, ThrowsMessage<LocationError>(HasSubstr("position -6 is out of range")));
  EXPECT_THAT([&] { resolve(last(6)); }, ThrowsMessage<LocationError>(HasSubstr("do not lie in the row's 5")));
  EXPECT_THAT([&] { resolve(token("q")); },
              ThrowsMessage<LocationError>(
                  HasSubstr("token 'q' (occurrence 0) is not in the row, which has 0 of it; its tokens are 'a' 'b'")));
  EXPECT_THAT(
      [&] {
        resolve_positions({{at(0).selection, at(0).selection, at(0).selection}}, padded_, "here");
      },
      ThrowsMessage<LocationError>(HasSubstr("locations for 3 rows, but the batch has 2")));
  const RowTexts plain = RowTexts::of(ids_, {}, ids_, nullptr);
  EXPECT_THAT(
      [&] { resolve_positions({{token("a").selection}}, plain, "here"); },
      ThrowsMessage<LocationError>(HasSubstr("takes a tokenizer and token ids and is not there in a decoding step")));
  EXPECT_THAT(
      [&] {
        RowTexts::of(ids_, torch::ones({2, 3}), ids_, nullptr);
      },
      ThrowsMessage<LocationError>(HasSubstr("attention_mask has shape [2, 3], expected [2, 7]")));
}

TEST_F(ResolveTest, HeadsCountFromEitherEndAndStepsFromTheStartOnly) {
  EXPECT_THAT(resolve_axis({{(at(0) + at(-1)).selection}}, 2, 4, Axis::kHead, "here"), ElementsAre(ElementsAre(0, 3)));
  EXPECT_THAT(resolve_axis({{at({1, 7}).selection}}, 2, 0, Axis::kPos, "here"), ElementsAre(ElementsAre(1, 7)));
  EXPECT_THAT(resolve_axis({{first(3).selection}}, 2, 0, Axis::kPos, "here"), ElementsAre(ElementsAre(0, 1, 2)));
  EXPECT_THAT([&] { resolve_axis({{at(4).selection}}, 2, 4, Axis::kHead, "here"); },
              ThrowsMessage<LocationError>(HasSubstr("head 4 is out of range")));
  EXPECT_THAT([&] { resolve_axis({{last().selection}}, 2, 0, Axis::kPos, "here"); },
              ThrowsMessage<LocationError>(HasSubstr("steps are counted from 0")));
}

TEST_F(ResolveTest, UnitsAreKnownByName) {
  EXPECT_EQ(parse_unit("h.pos", "x"), Unit::kHeadPos);
  EXPECT_THAT(
      [] { parse_unit("poss", "representations[1].unit"); },
      ThrowsMessage<ConfigError>(HasSubstr("representations[1].unit: unknown unit 'poss'; did you mean 'pos'")));
}

}  // namespace
}  // namespace vene
