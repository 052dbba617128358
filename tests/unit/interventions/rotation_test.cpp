// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/rotation.h"

#include <gmock/gmock.h>
#include <torch/optim/adamw.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/gradcheck.h"
#include "tests/places.h"
#include "tests/unit/interventions/build.h"
#include "vene/base/error.h"
#include "vene/interventions/rotated.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using namespace vene_test;

const std::vector<RotationMap> kMaps{RotationMap::kHouseholder, RotationMap::kMatrixExponential, RotationMap::kCayley};

double orthogonality_error(const Tensor& w) {
  const Tensor plain = w.detach().to(torch::kFloat64);
  return (plain.t().matmul(plain) - torch::eye(w.size(1), torch::kFloat64)).abs().max().item<double>();
}

Tensor original(const Rotation& rotation) {
  return rotation->named_parameters()["parametrizations.weight.original"];
}

// Sets the state of pyvene's parametrisation.
void set_state(Rotation& rotation, const Tensor& x, const Tensor& base) {
  const torch::NoGradGuard no_grad;
  rotation->expect({{"r.parametrizations.weight.original", x}, {"r.parametrizations.weight.0.base", base}}, "r",
                   "here");
  original(rotation).copy_(x);
  rotation->named_buffers()["parametrizations.weight.0.base"].copy_(base);
}

TEST(RotationTest, WorkedExamplesOfPyvenesParametrisation) {
  Rotation square(2, 2, RotationMap::kMatrixExponential);
  set_state(square, torch::tensor({{-1.F, 9.F}, {.3F, -1.F}}), torch::eye(2));
  EXPECT_TRUE(
      torch::allclose(square->weight(), torch::tensor({{.9553365F, -.2955202F}, {.2955202F, .9553365F}}), 0, 1e-6));
  Rotation tall(4, 2, RotationMap::kHouseholder);
  set_state(tall, torch::tensor({{-1.F, 0.F}, {.5F, -1.F}, {.25F, .5F}, {0.F, 1.F}}), torch::eye(4));
  EXPECT_TRUE(torch::allclose(
      tall->weight(),
      torch::tensor({{.5238096F, -.0846561F}, {.7619048F, -.1534391F}, {.3809524F, .4232804F}, {0.F, .8888889F}}), 0,
      1e-6));
}

TEST(RotationTest, WithoutAGradientItIsMadeOnceARun) {
  const auto rotated = build_as<RotatedSpace>("low_rank_rotated_space", {.width = 6, .low_rank_dimension = 3});
  const Tensor base = torch::randn({2, 6}), source = torch::randn({2, 6});
  const auto forward = [&] { return rotated->forward(base, source, {}); };
  const auto changed = [&] {
    // As torch's SGD writes: past the version counter.
    original(rotated->rotation).data().add_(torch::randn({6, 3}));
  };
  std::any first_run, second_run, trained_run;
  Tensor kept;
  {
    const torch::NoGradGuard no_grad;
    const detail::FiringGuard firing({0, {}, &first_run});
    kept = forward();
    changed();
    EXPECT_TRUE(torch::equal(forward(), kept)) << "the same run";
  }
  {
    const torch::NoGradGuard no_grad;
    const Tensor outside = forward();
    EXPECT_FALSE(torch::equal(outside, kept)) << "nothing is kept outside a run";
    const detail::FiringGuard firing({0, {}, &second_run});
    EXPECT_TRUE(torch::equal(forward(), outside));
  }
  const detail::FiringGuard firing({0, {}, &trained_run});
  const Tensor before = forward();
  EXPECT_TRUE(before.requires_grad());
  changed();
  EXPECT_FALSE(torch::equal(forward(), before)) << "where a gradient is asked for, each has its own";
}

TEST(RotationTest, AnOpenOneDrawsTheSameNumbersAndTakesASavedState) {
  torch::manual_seed(9);
  const Rotation whole(6, 3, RotationMap::kHouseholder);
  const Tensor after = torch::rand({3});
  torch::manual_seed(9);
  Rotation open(nullptr);
  {
    const OpenRotations to_be_filled;
    open = Rotation(6, 3, RotationMap::kHouseholder);
  }
  EXPECT_TRUE(torch::equal(torch::rand({3}), after));
  EXPECT_FALSE(torch::equal(open->weight(), whole->weight()));
  const torch::NoGradGuard no_grad;
  for (const auto& item : whole->named_buffers()) open->named_buffers()[item.key()].copy_(item.value());
  EXPECT_TRUE(torch::equal(open->weight(), whole->weight()));
}

TEST(RotationTest, AFreshRotationIsItsStartUnderEveryMap) {
  for (std::int64_t rank : {1, 3, 7, 8}) {
    const Tensor start = Rotation(8, rank, RotationMap::kHouseholder, 4)->weight();
    for (RotationMap map : kMaps)
      EXPECT_LT((Rotation(8, rank, map, 4)->weight() - start).abs().max().item<double>(), 1e-6);
    Rotation other(8, rank, RotationMap::kCayley, 5);
    EXPECT_GT((other->weight() - start).abs().max().item<double>(), 0.1) << "another seed";
    other->set_weight(start);
    EXPECT_LT((other->weight() - start).abs().max().item<double>(), 1e-6);
  }
}

TEST(RotationTest, StartsArePyvenesForTheSameSeed) {
  const io::NamedTensors golden =
      io::read_tensors(std::string(vene_test::kSourceFolder) + "/tests/golden/train/starts.safetensors");
  for (std::int64_t rank : {8, 3}) {
    const auto found = std::find_if(golden.begin(), golden.end(),
                                    [&](const auto& entry) { return entry.first == "weight." + std::to_string(rank); });
    ASSERT_NE(found, golden.end());
    torch::manual_seed(11);
    EXPECT_LT((Rotation(8, rank, RotationMap::kHouseholder)->weight() - found->second).abs().max().item<double>(),
              2e-6);
    EXPECT_LT((Rotation(8, rank, RotationMap::kHouseholder, 11)->weight() - found->second).abs().max().item<double>(),
              2e-6);
  }
}

TEST(RotationTest, TheWeightIsOrthonormalForAnyParameters) {
  torch::manual_seed(1);
  for (RotationMap map : kMaps) {
    for (auto [width, rank] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 1}, {8, 3}, {8, 7}, {8, 8}, {64, 64}, {200, 20}}) {
      for (double scale : {1e-3, 0.1, 1.0}) {
        Rotation rotation(width, rank, map);
        const torch::NoGradGuard no_grad;
        original(rotation).normal_(0, scale);
        EXPECT_LT(orthogonality_error(rotation->weight()), 1e-5)
            << static_cast<int>(map) << " " << width << " x " << rank << ", scale " << scale;
      }
    }
  }
}

TEST(RotationTest, LowRankMapsAreTheFirstColumnsOfTheSquareOnes) {
  torch::manual_seed(2);
  for (RotationMap map : {RotationMap::kMatrixExponential, RotationMap::kCayley}) {
    const Tensor base = std::get<0>(torch::linalg_qr(torch::randn({12, 12})));
    const Tensor x = torch::randn({12, 3}) * 0.3;
    const Tensor wide = torch::cat({x, torch::zeros({12, 9})}, 1);
    Rotation low(12, 3, map), square(12, 12, map);
    const torch::NoGradGuard no_grad;
    for (auto& [rotation, values] : {std::pair{low, x}, {square, wide}}) {
      const Tensor code = torch::tensor(static_cast<std::int64_t>(map));
      Rotation(rotation)->expect(
          {{"r.parametrizations.weight.0.base", base}, {"r.parametrizations.weight.0.map", code}}, "r", "here");
      original(rotation).copy_(values);
      rotation->named_buffers()["parametrizations.weight.0.base"].copy_(base);
    }
    EXPECT_LT((low->weight() - square->weight().slice(1, 0, 3)).abs().max().item<double>(), 2e-6);
  }
}

TEST(RotationTest, TheDenseBaseIsTheOneThatTheReflectorsStandFor) {
  torch::manual_seed(3);
  Rotation rotation(10, 4, RotationMap::kHouseholder);
  const torch::NoGradGuard no_grad;
  original(rotation).normal_(0, 0.4);
  original(rotation).fill_diagonal_(-1);
  const Tensor base = rotation->dense_base();
  EXPECT_LT(orthogonality_error(base), 1e-5);
  Rotation dense(10, 4, RotationMap::kHouseholder);
  set_state(dense, original(rotation), base);
  EXPECT_LT((dense->weight() - rotation->weight()).abs().max().item<double>(), 2e-6);
}

TEST(RotationTest, NothingOfWidthTimesWidthIsFormedForALowRank) {
  // Width times width would be 160 GB.
  Rotation rotation(200000, 2, RotationMap::kHouseholder, 1);
  rotation->weight().sum().backward();
  EXPECT_LT(orthogonality_error(rotation->weight()), 1e-5);
  for (const Tensor& buffer : rotation->buffers()) EXPECT_LE(buffer.numel(), 400000);
  for (RotationMap map : {RotationMap::kCayley, RotationMap::kMatrixExponential})
    EXPECT_LT(orthogonality_error(Rotation(200000, 2, map, 1)->weight()), 1e-5);
}

TEST(RotationTest, GradientsPassGradcheck) {
  torch::manual_seed(4);
  for (RotationMap map : kMaps) {
    for (auto [width, rank] : {std::pair<std::int64_t, std::int64_t>{5, 1}, {6, 2}, {6, 5}, {5, 5}}) {
      Rotation rotation(width, rank, map);
      rotation->to(torch::kFloat64);
      {
        const torch::NoGradGuard no_grad;
        original(rotation).normal_(0, 0.5);
      }
      const Tensor weights = torch::randn({width, rank}, torch::kFloat64);
      gradcheck({original(rotation)},
                [&] { return (rotation->weight() * weights).sum() + rotation->weight().pow(3).sum(); });
    }
  }
}

// A thousand steps of AdamW with a large step and weight decay, which makes pyvene's low-rank rotation zero.
TEST(RotationTest, ItStaysOrthogonalOverAThousandStepsAndUnderWeightDecay) {
  torch::manual_seed(5);
  for (auto [width, rank, map, steps] :
       {std::tuple<std::int64_t, std::int64_t, RotationMap, int>{64, 64, RotationMap::kCayley, 1000},
        {64, 64, RotationMap::kHouseholder, 1000},
        {64, 64, RotationMap::kMatrixExponential, 1000},
        {256, 8, RotationMap::kHouseholder, 1000},
        {256, 8, RotationMap::kCayley, 1000},
        {4096, 4, RotationMap::kHouseholder, 1000},
        {1024, 1024, RotationMap::kCayley, 5}}) {
    Rotation rotation(width, rank, map);
    torch::optim::AdamW optimizer(rotation->parameters(), torch::optim::AdamWOptions(2e-2).weight_decay(0.1));
    const Tensor target = torch::randn({width, rank});
    double first = 0, last = 0;
    for (int step = 0; step < steps; ++step) {
      optimizer.zero_grad();
      const Tensor loss = (rotation->weight() - target).pow(2).sum();
      loss.backward();
      optimizer.step();
      last = loss.item<double>();
      if (step == 0) first = last;
    }
    EXPECT_LT(last, first) << "it learns";
    EXPECT_LE(orthogonality_error(rotation->weight()), 1e-5) << width << " x " << rank << " " << static_cast<int>(map);
  }
}

TEST(RotationTest, ItIsOrthogonalFarFromWhereItStarted) {
  torch::manual_seed(6);
  const torch::NoGradGuard no_grad;
  for (RotationMap map : kMaps) {
    for (auto [width, rank] : {std::pair<std::int64_t, std::int64_t>{768, 768}, {768, 16}}) {
      for (const double far : {0.0, 0.02, 0.2}) {
        Rotation rotation(width, rank, map);
        original(rotation).normal_(0, 1).mul_(far);
        original(rotation).fill_diagonal_(-1);
        EXPECT_LE(orthogonality_error(rotation->weight()), 1e-5)
            << width << " x " << rank << " " << static_cast<int>(map) << " " << far;
      }
    }
  }
}

TEST(RotationTest, ErrorsSayWhatWasExpected) {
  EXPECT_THAT([] { Rotation(8, 9, RotationMap::kCayley); },
              ThrowsMessage<ConfigError>(HasSubstr("low_rank_dimension 9 does not fit a width of 8; expected 1 to 8")));
  EXPECT_THAT([] { parse_rotation_map("cayly", 8, 8); },
              ThrowsMessage<ConfigError>(HasSubstr("unknown map 'cayly'; did you mean 'cayley'")));
  Rotation rotation(8, 3, RotationMap::kCayley);
  EXPECT_THAT(
      [&] {
        rotation->set_weight(torch::zeros({8, 4}));
      },
      ThrowsMessage<PlanError>(HasSubstr("has shape [8, 4], expected [8, 3]")));
  EXPECT_THAT(
      [&] {
        set_state(rotation, torch::zeros({8, 3}), torch::eye(8));
      },
      ThrowsMessage<IoError>(HasSubstr("is not -1 (weight decay does that in pyvene)")));
}

}  // namespace
}  // namespace vene
