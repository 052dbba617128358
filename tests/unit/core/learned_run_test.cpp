// SPDX-License-Identifier: Apache-2.0
// Learned interventions in a run: units, several sources, serial mode, links, joint training.
#include <gmock/gmock.h>

#include "tests/autocast.h"
#include "tests/gradcheck.h"
#include "tests/unit/core/toy_model.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace vene_test;

const std::vector<std::string> kTypes{R"("rotated_space")",
                                      R"("low_rank_rotated_space", "low_rank_dimension": 2)",
                                      R"("boundless_rotated_space")",
                                      R"("sigmoid_mask_rotated_space")",
                                      R"("sigmoid_mask")",
                                      R"("autoencoder", "latent_dim": 5)",
                                      R"("jump_relu_autoencoder", "latent_dim": 5)"};

class LearnedRunTest : public testing::Test {
 protected:
  std::shared_ptr<ToyModel> model_ = ToyModel::make();
  models::Batch base_ = ids({{1, 2, 3, 4}, {5, 6, 7, 8}});
  models::Batch source_ = ids({{9, 8, 7, 6}, {4, 3, 2, 1}});
  models::Batch other_ = ids({{0, 10, 0, 10}, {2, 4, 6, 8}});

  IntervenableModel make(const std::string& json) {
    IntervenableModel made(IntervenableConfig::parse(json), model_);
    const torch::NoGradGuard no_grad;
    for (const auto& item : made->named_parameters()) item.value().add_(torch::randn_like(item.value()) * 0.3);
    made->set_temperature(2);
    return made;
  }
};

TEST_F(LearnedRunTest, EveryClassPassesGradcheckAtEveryUnitInParallelAndInSerial) {
  model_->to(torch::kFloat64);
  for (const std::string& type : kTypes) {
    const std::string inner = R"("component": "head_inner", "unit": )";
    struct Way {
      std::string config;
      RunRequest request;
    };
    const RunRequest positions{.base = base_,
                               .sources = {source_},
                               .locations = from(at({0, 1}), at({2, 3})),
                               .subspaces = {SubspaceIds{{{0}, {1}}}}};
    const RunRequest two{.base = base_,
                         .sources = {source_, other_},
                         .locations = Locations::parse(R"({"source_0->source_1": 1, "source_1->base": [2, 3]})")};
    for (const Way& way :
         {Way{R"([{"layer": 1, "max_number_of_units": 2, "intervention_type": )" + type + "}]", positions},
          Way{R"([{"layer": 1, "intervention_type": )" + type + "}]", positions},
          Way{"[{" + inner + R"("h", "layer": 1, "intervention_type": )" + type + "}]",
              {.base = base_, .sources = {source_}, .locations = Locations::parse(R"({"base": [0, 2]})")}},
          Way{"[{" + inner + R"("h.pos", "layer": 1, "max_number_of_units": 2, "intervention_type": )" + type + "}]",
              {.base = base_, .sources = {source_}, .locations = heads_at({0, 2}, at({1, 3}))}},
          Way{R"({"mode": "serial", "representations": [{"layer": 0, "intervention_type": )" + type +
                  R"(}, {"layer": 1, "intervention_type": )" + type + "}]}",
              two}}) {
      SCOPED_TRACE(way.config);
      auto intervenable = make(way.config);
      intervenable->to(torch::kFloat64);
      const Plan plan = intervenable->compile(way.request);
      gradcheck(
          intervenable->trainable_parameters(),
          [&] { return run(plan, way.request.base, way.request.sources).intervened.logits.pow(2).sum(); }, 1e-5, 5);
    }
  }
}

TEST_F(LearnedRunTest, OneMadeForSeveralUnitsSeesThemSideBySideAndABatchEqualsItsRows) {
  for (const std::string& type : kTypes) {
    SCOPED_TRACE(type);
    for (const char* units : {"", R"("max_number_of_units": 2, )"}) {
      auto intervenable = make(std::string(R"([{"layer": 1, )") + units + R"("intervention_type": )" + type + "}]");
      const Tensor all =
          intervenable->forward({.base = base_, .sources = {source_}, .locations = from(at({0, 1}), at({2, 3}))})
              .intervened.logits;
      for (std::int64_t row = 0; row < 2; ++row) {
        models::Batch base, source;
        base.input_ids = base_.input_ids.slice(0, row, row + 1);
        source.input_ids = source_.input_ids.slice(0, row, row + 1);
        const Tensor one =
            intervenable->forward({.base = base, .sources = {source}, .locations = from(at({0, 1}), at({2, 3}))})
                .intervened.logits;
        EXPECT_LT((one[0] - all[row]).abs().max().item<double>(), 1e-5);
      }
    }
    auto three = make(R"([{"layer": 1, "max_number_of_units": 3, "intervention_type": )" + type + "}]");
    EXPECT_THAT(
        [&] {
          three->forward({.base = base_, .sources = {source_}, .locations = at({2, 3})});
        },
        ThrowsMessage<PlanError>(HasSubstr("the intervention is made for a width of 18 (the site's times "
                                           "max_number_of_units), the value has shape [2, 2, 6]")));
  }
}

TEST_F(LearnedRunTest, SubspacesCountTheColumnsOfTheRotation) {
  auto low_rank = make(R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2}])");
  EXPECT_THAT(
      [&] {
        low_rank->forward({.base = base_, .sources = {source_}, .locations = at(1), .subspaces = {SubspaceIds{{{2}}}}});
      },
      ThrowsMessage<LocationError>(HasSubstr("subspace column 2 is out of range: there are 2")));
  auto latent = make(R"([{"layer": 1, "intervention_type": "autoencoder", "latent_dim": 9}])");
  EXPECT_NO_THROW(
      latent->forward({.base = base_, .sources = {source_}, .locations = at(1), .subspaces = {SubspaceIds{{{8}}}}}));
}

TEST_F(LearnedRunTest, AConstantStandsInForASource) {
  auto rotated = make(
      R"([{"layer": 1, "max_number_of_units": 2, "intervention_type": "rotated_space", "source_representation": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]}])");
  const Tensor units = torch::tensor({{1.F, 2.F, 3.F, 4.F, 5.F, 6.F}, {6.F, 5.F, 4.F, 3.F, 2.F, 1.F}});
  Tensor seen;
  const Tensor expected = by_hand(*model_, base_, [&](std::int64_t l, const std::string& n, Tensor v) {
    return l == 1 && n == "block_output" ? put(v, {torch::indexing::Slice(), torch::indexing::Slice(1, 3)}, units) : v;
  });
  EXPECT_TRUE(torch::allclose(rotated->forward({.base = base_, .locations = at({1, 2})}).intervened.logits, expected,
                              1e-4, 1e-4))
      << "the whole space is a swap";
}

TEST_F(LearnedRunTest, LinkedInterventionsLearnOneSetOfWeights) {
  auto linked = make(
      R"([{"layer": 0, "intervention_type": "sigmoid_mask", "intervention_link_key": 0}, {"layer": 1, "intervention_type": "sigmoid_mask", "intervention_link_key": 0}])");
  ASSERT_EQ(linked->trainable_parameters().size(), 1U);
  auto apart =
      make(R"([{"layer": 0, "intervention_type": "sigmoid_mask"}, {"layer": 1, "intervention_type": "sigmoid_mask"}])");
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(2)};
  {
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : apart->trainable_parameters()) parameter.copy_(linked->trainable_parameters()[0]);
  }
  linked->forward(request).intervened.logits.pow(2).sum().backward();
  apart->forward(request).intervened.logits.pow(2).sum().backward();
  const auto parts = apart->trainable_parameters();
  EXPECT_TRUE(torch::allclose(linked->trainable_parameters()[0].grad(), parts[0].grad() + parts[1].grad(), 1e-4, 1e-5));
}

TEST_F(LearnedRunTest, NamedPartsOfTheModelTrainAlong) {
  auto joint = make(R"([{"layer": 1, "intervention_type": "low_rank_rotated_space", "low_rank_dimension": 2}])");
  joint->enable_model_gradients({"block_2", "head"});
  joint->forward({.base = base_, .sources = {source_}, .locations = at(2)}).intervened.logits.pow(2).sum().backward();
  for (const auto& item : model_->named_parameters()) {
    const bool trained = item.key().starts_with("block_2") || item.key().starts_with("head");
    EXPECT_EQ(item.value().grad().defined() && item.value().grad().abs().sum().item<double>() > 0, trained)
        << item.key();
  }
}

TEST_F(LearnedRunTest, AHalfPrecisionModelRunsWithWeightsInFullPrecision) {
  model_->to(torch::kBFloat16);
  for (const std::string& type : kTypes) {
    auto intervenable = make(R"([{"layer": 1, "intervention_type": )" + type + "}]");
    const Tensor logits =
        intervenable->forward({.base = base_, .sources = {source_}, .locations = at(2)}).intervened.logits;
    EXPECT_EQ(logits.scalar_type(), torch::kBFloat16);
    logits.to(torch::kFloat32).pow(2).sum().backward();
    EXPECT_EQ(intervenable->trainable_parameters()[0].scalar_type(), torch::kFloat32);
    EXPECT_TRUE(intervenable->trainable_parameters()[0].grad().defined());
  }
}

TEST_F(LearnedRunTest, UnderAutocastTheModelIsRoundedAndTheInterventionIsNot) {
  const RunRequest request{.base = base_, .sources = {source_}, .locations = at(2)};
  for (const std::string& type : kTypes) {
    SCOPED_TRACE(type);
    auto intervenable =
        make(R"([{"layer": 1, "intervention_type": )" + type + R"(}, {"layer": 1, "intervention_type": "collect"}])");
    intervenable->set_temperature(50);  // masks that start at 100 saturate below
    auto reader = make(R"([{"layer": 1, "intervention_type": "collect"}])");
    const Tensor exact = intervenable->forward(request).intervened.logits;
    Result result;
    Tensor base, source;
    {
      const Autocast autocast;
      result = intervenable->forward({.base = base_, .sources = {source_, std::nullopt}, .locations = at(2)});
      base = reader->forward({.base = base_, .locations = at(2)}).collected[0].value;
      source = reader->forward({.base = source_, .locations = at(2)}).collected[0].value;
    }
    EXPECT_FALSE(torch::equal(result.intervened.logits.to(torch::kFloat32), exact)) << "autocast was off";
    const Tensor expected = intervenable->interventions()[0]->forward(base, source, {});
    EXPECT_EQ(result.collected[0].value.scalar_type(), base.scalar_type());
    EXPECT_TRUE(torch::allclose(result.collected[0].value, expected, 1e-6, 1e-6));
    result.intervened.logits.to(torch::kFloat32).pow(2).sum().backward();
    const Tensor gradient = intervenable->trainable_parameters()[0].grad();
    EXPECT_EQ(gradient.scalar_type(), torch::kFloat32);
    EXPECT_TRUE(torch::isfinite(gradient).all().item<bool>());
    EXPECT_GT(gradient.abs().max().item<double>(), 0);
  }
}

}  // namespace
}  // namespace vene
