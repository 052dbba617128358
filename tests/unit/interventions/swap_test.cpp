// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/base/error.h"
#include "vene/interventions/intervention.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;

Subspace columns(const SubspaceIds& ids, std::int64_t width, std::int64_t batch,
                 const SubspacePartition& partition = {}) {
  return compile_subspace(ids, partition, width, batch, torch::kCPU, "here");
}

TEST(SwapTest, WithoutColumnsEverythingIsExchanged) {
  const Tensor base = torch::randn({2, 3, 4});
  const Tensor source = torch::randn({2, 3, 4});
  EXPECT_TRUE(torch::equal(swap(base, source, {}, SwapMode::kInterchange), source));
  EXPECT_TRUE(torch::equal(swap(base, source, {}, SwapMode::kAdd), base + source));
  EXPECT_TRUE(torch::equal(swap(base, source, {}, SwapMode::kSubtract), base - source));
  EXPECT_TRUE(torch::equal(swap(base, {}, {}, SwapMode::kCollect), base));
}

TEST(SwapTest, TheInterchangedWidthLimitsItToLeadingColumns) {
  const Tensor base = torch::randn({2, 3, 4});
  const Tensor source = torch::randn({2, 3, 4});
  const Tensor swapped = swap(base, source, {}, SwapMode::kInterchange, 2);
  EXPECT_TRUE(torch::equal(swapped.narrow(2, 0, 2), source.narrow(2, 0, 2)));
  EXPECT_TRUE(torch::equal(swapped.narrow(2, 2, 2), base.narrow(2, 2, 2)));
  EXPECT_TRUE(torch::equal(swap(base, source, {}, SwapMode::kInterchange, 99), source))
      << "more than the width is the width";
  EXPECT_EQ(swap(base, {}, {}, SwapMode::kCollect, 3).size(2), 3);
}

// pyvene's own golden: base arange(36) as (2, 3, 6), partition of three pairs; row i's parts are row i's.
TEST(SwapTest, PartsOfAPartitionApplyToTheirRow) {
  const Tensor base = torch::arange(36).view({2, 3, 6}).to(torch::kFloat32);
  const Tensor source = base + 36;
  const Subspace subspace = columns({{{1, 0}, {2}}}, 6, 2, {{0, 1}, {2, 3}, {4, 5}});
  const Tensor swapped = swap(base, source, subspace, SwapMode::kInterchange);
  EXPECT_TRUE(torch::equal(swapped[0].narrow(1, 0, 4), source[0].narrow(1, 0, 4)));
  EXPECT_TRUE(torch::equal(swapped[0].narrow(1, 4, 2), base[0].narrow(1, 4, 2)));
  EXPECT_TRUE(torch::equal(swapped[1].narrow(1, 4, 2), source[1].narrow(1, 4, 2)));
  EXPECT_TRUE(torch::equal(swapped[1].narrow(1, 0, 4), base[1].narrow(1, 0, 4)));
}

TEST(SwapTest, ABatchEqualsItsRowsOneByOne) {
  const Tensor base = torch::randn({3, 2, 6});
  const Tensor source = torch::randn({3, 2, 6});
  const SubspaceIds ids{{{0, 5}, {}, {1, 2, 3}}};
  for (SwapMode mode : {SwapMode::kInterchange, SwapMode::kAdd, SwapMode::kSubtract}) {
    const Tensor all = swap(base, source, columns(ids, 6, 3), mode);
    for (std::int64_t row = 0; row < 3; ++row) {
      const auto one = [&](const Tensor& t) { return t.slice(0, row, row + 1); };
      EXPECT_TRUE(torch::equal(one(all), swap(one(base), one(source), columns({{ids.rows[row]}}, 6, 1), mode))) << row;
    }
  }
}

TEST(SwapTest, CollectGivesTheChosenColumnsInTheirOrder) {
  const Tensor base = torch::randn({2, 2, 4});
  EXPECT_TRUE(torch::equal(swap(base, {}, columns({{{2, 0}}}, 4, 2), SwapMode::kCollect),
                           base.index_select(2, torch::tensor({2, 0}))));
  const Tensor per_row = swap(base, {}, columns({{{2, 0}, {1, 3}}}, 4, 2), SwapMode::kCollect);
  EXPECT_TRUE(torch::equal(per_row[1], base[1].index_select(1, torch::tensor({1, 3}))));
  EXPECT_THAT(
      [&] {
        swap(base, {}, columns({{{2}, {1, 3}}}, 4, 2), SwapMode::kCollect);
      },
      ThrowsMessage<PlanError>(HasSubstr("different numbers of columns")));
}

TEST(SwapTest, OneRowUnitOrVectorServesAll) {
  const Tensor base = torch::randn({2, 3, 4});
  for (const Tensor& source : {torch::randn({4}), torch::randn({3, 4}), torch::randn({1, 1, 4}),
                               torch::randn({2, 1, 4}), torch::randn({1, 3, 4})}) {
    EXPECT_TRUE(torch::equal(swap(base, source, {}, SwapMode::kAdd), base + source));
  }
  EXPECT_THAT([&] { swap(base, torch::randn({5}), {}, SwapMode::kAdd); },
              ThrowsMessage<PlanError>(HasSubstr("source of shape [5] does not fit a base of shape [2, 3, 4]")));
  EXPECT_THAT(
      [&] {
        swap(base, torch::randn({2, 2, 4}), {}, SwapMode::kAdd);
      },
      ThrowsMessage<PlanError>(HasSubstr("does not fit")));
}

TEST(SwapTest, NothingIsWrittenInPlace) {
  const Tensor base = torch::randn({2, 3, 4});
  const Tensor source = torch::randn({2, 3, 4});
  const Tensor base_before = base.clone();
  const Tensor source_before = source.clone();
  for (const Subspace& subspace : {Subspace{}, columns({{{1}}}, 4, 2), columns({{{1}, {2}}}, 4, 2)}) {
    for (SwapMode mode : {SwapMode::kInterchange, SwapMode::kAdd, SwapMode::kSubtract})
      swap(base, source, subspace, mode);
  }
  EXPECT_TRUE(torch::equal(base, base_before));
  EXPECT_TRUE(torch::equal(source, source_before));
}

TEST(SwapTest, GradientsPassGradcheck) {
  for (const Subspace& subspace : {Subspace{}, columns({{{1, 3}}}, 4, 2), columns({{{1}, {2, 0}}}, 4, 2)}) {
    for (SwapMode mode : {SwapMode::kInterchange, SwapMode::kAdd, SwapMode::kSubtract}) {
      Tensor base = torch::randn({2, 2, 4}, torch::kFloat64).set_requires_grad(true);
      Tensor source = torch::randn({2, 2, 4}, torch::kFloat64).set_requires_grad(true);
      auto loss = [&](const Tensor& b, const Tensor& s) { return swap(b, s, subspace, mode).pow(3).sum(); };
      loss(base, source).backward();
      for (std::int64_t i = 0; i < 16; ++i) {
        Tensor step = torch::zeros({16}, torch::kFloat64);
        step[i] = 1e-5;
        step = step.view({2, 2, 4});
        const Tensor b = base.detach();
        const Tensor s = source.detach();
        const double by_base = (loss(b + step, s) - loss(b - step, s)).item<double>() / 2e-5;
        const double by_source = (loss(b, s + step) - loss(b, s - step)).item<double>() / 2e-5;
        EXPECT_NEAR(base.grad().defined() ? base.grad().flatten()[i].item<double>() : 0, by_base,
                    1e-6 * std::max(1.0, std::abs(by_base)));
        EXPECT_NEAR(source.grad().defined() ? source.grad().flatten()[i].item<double>() : 0, by_source,
                    1e-6 * std::max(1.0, std::abs(by_source)));
      }
    }
  }
}

TEST(SwapTest, HalfPrecisionBasesKeepTheirType) {
  const Tensor base = torch::randn({2, 4}).to(torch::kBFloat16);
  EXPECT_EQ(swap(base, torch::randn({4}), {}, SwapMode::kAdd).scalar_type(), torch::kBFloat16);
}

TEST(SubspaceTest, IdsAreCheckedAgainstTheirRange) {
  auto message = [](const SubspaceIds& ids, const SubspacePartition& partition, const char* text) {
    EXPECT_THAT([&] { columns(ids, 4, 2, partition); }, ThrowsMessage<LocationError>(HasSubstr(text)));
  };
  message({{{4}}}, {}, "here: subspace column 4 is out of range: there are 4");
  message({{{-5}}}, {}, "subspace column -5 is out of range");
  message({{{2}}}, {{0, 1}, {2, 3}}, "subspace part 2 is out of range: there are 2");
  message({{{0}}}, {{3, 4}}, "subspace column 4 is out of range");
  message({{{0}, {0}, {0}}}, {}, "subspaces for 3 rows, but the batch has 2");
}

TEST(SubspaceTest, NegativeIdsCountFromTheEndAndRepeatsAreOne) {
  EXPECT_TRUE(torch::equal(columns({{{-1, 0, 3}}}, 4, 2).columns, torch::tensor({3, 0})));
  EXPECT_TRUE(torch::equal(columns({{{-1}}}, 4, 2, {{0, 1}, {2}}).columns, torch::tensor({2})));
}

}  // namespace
}  // namespace vene
