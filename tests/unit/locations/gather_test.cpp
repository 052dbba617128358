// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/gather.h"

#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::indexing::Slice;

const std::vector<Axis> kPosAxes{Axis::kBatch, Axis::kPos, Axis::kFeature};
const std::vector<Axis> kHeadAxes{Axis::kBatch, Axis::kPos, Axis::kHead, Axis::kFeature};
const std::vector<Axis> kPatternAxes{Axis::kBatch, Axis::kHead, Axis::kPos, Axis::kKey};

UnitIndex index_of(const std::vector<Axis>& axes, const torch::Tensor& value, Unit unit, const AxisIndices& first,
                   const AxisIndices& second = {}, std::int64_t rows = -1) {
  return {axes, value.sizes().vec(), unit, first, second, rows < 0 ? value.size(0) : rows, torch::kCPU, "here"};
}

TEST(GatherTest, PositionsPickRowsOfEachExample) {
  const torch::Tensor value = torch::randn({2, 5, 3});
  const torch::Tensor units = index_of(kPosAxes, value, Unit::kPos, {{0, 4}, {2, 1}}).gather(value);
  EXPECT_TRUE(torch::equal(units, torch::stack({value[0].index_select(0, torch::tensor({0, 4})),
                                                value[1].index_select(0, torch::tensor({2, 1}))})));
}

TEST(GatherTest, OneListServesEveryRow) {
  const torch::Tensor value = torch::randn({3, 5, 2});
  EXPECT_TRUE(torch::equal(index_of(kPosAxes, value, Unit::kPos, {{1, 2}}).gather(value), value.slice(1, 1, 3)));
}

TEST(GatherTest, HeadsCrossPositions) {
  const torch::Tensor value = torch::randn({2, 4, 3, 2});  // [batch, pos, head, width]
  const torch::Tensor units = index_of(kHeadAxes, value, Unit::kHeadPos, {{0, 2}}, {{1, 3, 0}}).gather(value);
  ASSERT_EQ(units.sizes(), (std::vector<std::int64_t>{2, 2, 3, 2}));
  EXPECT_TRUE(torch::equal(units[1][1][2], value[1][0][2]));
  EXPECT_TRUE(torch::equal(units[0][0][1], value[0][3][0]));
}

TEST(GatherTest, UnitHeadKeepsEveryPosition) {
  const torch::Tensor value = torch::randn({2, 4, 3, 2});
  const torch::Tensor units = index_of(kHeadAxes, value, Unit::kHead, {{2}, {0}}).gather(value);
  ASSERT_EQ(units.sizes(), (std::vector<std::int64_t>{2, 1, 4, 2}));
  EXPECT_TRUE(torch::equal(units[0][0], value.index({0, Slice(), 2})));
  EXPECT_TRUE(torch::equal(units[1][0], value.index({1, Slice(), 0})));
}

TEST(GatherTest, AttentionPatternsAreIndexedByQueryPosition) {
  const torch::Tensor value = torch::randn({2, 3, 4, 4});
  const torch::Tensor units = index_of(kPatternAxes, value, Unit::kPos, {{1}}).gather(value);
  ASSERT_EQ(units.sizes(), (std::vector<std::int64_t>{2, 1, 3, 4}));
  EXPECT_TRUE(torch::equal(units.squeeze(1), value.index({Slice(), Slice(), 1})));
  const torch::Tensor both = index_of(kPatternAxes, value, Unit::kHeadPos, {{2}}, {{1, 3}}).gather(value);
  EXPECT_TRUE(torch::equal(both[1][0][1], value[1][2][3]));
}

TEST(GatherTest, ScatterUndoesGatherAndTouchesNothingElse) {
  const torch::Tensor value = torch::randn({2, 4, 3, 2});
  const torch::Tensor before = value.clone();
  for (Unit unit : {Unit::kPos, Unit::kHead, Unit::kHeadPos}) {
    const UnitIndex index = index_of(kHeadAxes, value, unit, {{0, 2}, {1, 0}}, {{1, 3}, {2, 0}});
    const torch::Tensor units = index.gather(value);
    EXPECT_TRUE(torch::equal(index.scatter(value, units), value));
    const torch::Tensor marked = index.scatter(value, units + 100);
    EXPECT_EQ((marked > 50).sum().item<std::int64_t>(), units.numel());
    EXPECT_TRUE(torch::equal(value, before)) << "out of place";
    EXPECT_TRUE(torch::equal(index.gather(marked), units + 100));
  }
}

TEST(GatherTest, RaggedRowsWriteOnlyWhatTheyHave) {
  const torch::Tensor value = torch::zeros({3, 4, 2});
  const UnitIndex index = index_of(kPosAxes, value, Unit::kPos, {{0, 1, 2}, {}, {3}});
  EXPECT_TRUE(
      torch::equal(index.valid(), torch::tensor({{true, true, true}, {false, false, false}, {true, false, false}})));
  const torch::Tensor written = index.scatter(value, torch::ones({3, 3, 2}));
  EXPECT_TRUE(
      torch::equal(written.sum(2), torch::tensor({{2.F, 2.F, 2.F, 0.F}, {0.F, 0.F, 0.F, 0.F}, {0.F, 0.F, 0.F, 2.F}})));
}

TEST(GatherTest, RaggedHeadsAndPositionsWriteTheirOwnCrossProduct) {
  const torch::Tensor value = torch::zeros({2, 4, 3, 1});
  const UnitIndex index = index_of(kHeadAxes, value, Unit::kHeadPos, {{0, 1}, {2}}, {{1}, {0, 3}});
  const torch::Tensor written = index.scatter(value, torch::ones({2, 2, 2, 1}));
  EXPECT_EQ(written.sum().item<float>(), 4.F);
  EXPECT_EQ(written[0][1][0].item<float>() + written[0][1][1].item<float>() + written[1][0][2].item<float>() +
                written[1][3][2].item<float>(),
            4.F);
}

TEST(GatherTest, ASingleSourceRowServesEveryRowWithItsOwnPositions) {
  const torch::Tensor source = torch::randn({1, 5, 2});
  const torch::Tensor units = index_of(kPosAxes, source, Unit::kPos, {{0}, {3}, {4}}, {}, 3).gather(source);
  EXPECT_TRUE(torch::equal(units.squeeze(1), source[0].index_select(0, torch::tensor({0, 3, 4}))));
}

TEST(GatherTest, WholeValuePassesThrough) {
  const torch::Tensor value = torch::randn({2, 3});
  const UnitIndex whole;
  EXPECT_TRUE(whole.gather(value).is_same(value));
  EXPECT_TRUE(torch::equal(whole.scatter(value, value + 1), value + 1));
}

TEST(GatherTest, GradientsFlowThroughBoth) {
  const torch::Tensor value = torch::randn({2, 4, 3}, torch::requires_grad());
  const torch::Tensor units = torch::randn({2, 2, 3}, torch::requires_grad());
  const UnitIndex index = index_of(kPosAxes, value, Unit::kPos, {{0, 1}, {2, 3}});
  (index.gather(value).sum() * 2 + index.scatter(value, units).sum() * 5).backward();
  EXPECT_TRUE(torch::equal(units.grad(), torch::full({2, 2, 3}, 5.F)));
  EXPECT_EQ(value.grad()[0][0][0].item<float>(), 2.F) << "read, then overwritten";
  EXPECT_EQ(value.grad()[0][3][0].item<float>(), 5.F) << "left as it was";
}

TEST(GatherTest, RepeatedUnitsAreNoticed) {
  const torch::Tensor value = torch::zeros({1, 4, 1});
  EXPECT_TRUE(index_of(kPosAxes, value, Unit::kPos, {{1, 1}}).repeats());
  EXPECT_FALSE(index_of(kPosAxes, value, Unit::kPos, {{1, 2}}).repeats());
}

TEST(GatherTest, ErrorsNameAxisAndRange) {
  const torch::Tensor value = torch::zeros({2, 4, 3});
  EXPECT_THAT([&] { index_of(kPosAxes, value, Unit::kPos, {{4}}); },
              ThrowsMessage<LocationError>(HasSubstr("here: pos 4 is out of range: the value has 4")));
  EXPECT_THAT([&] { index_of(kPosAxes, value, Unit::kHead, {{0}}); },
              ThrowsMessage<LocationError>(HasSubstr("the unit needs a head axis, but the value's axes are batch, pos, "
                                                     "feature (heads are at the components named head_*)")));
  EXPECT_THAT([&] { index_of(kPosAxes, value, Unit::kPos, {{0}}, {}, 3); },
              ThrowsMessage<LocationError>(HasSubstr("the value has 2 rows, the locations 3")));
}

TEST(HeadsTest, PackedHeadsSplitAndJoin) {
  Site site;
  site.packed_heads = true;
  site.heads = 3;
  const torch::Tensor value = torch::randn({2, 4, 6});
  const torch::Tensor split = split_heads(value, site);
  EXPECT_EQ(split.sizes(), (std::vector<std::int64_t>{2, 4, 3, 2}));
  EXPECT_TRUE(torch::equal(join_heads(split, site), value));
}

}  // namespace
}  // namespace vene
