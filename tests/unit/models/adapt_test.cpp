// SPDX-License-Identifier: Apache-2.0
// Modules of a user's own.
#include "vene/models/adapt.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/linear.h>

#include "helpers.h"
#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using torch::Tensor;
using vene::Axis;
using vene::models::adapt;
using vene::models::AdaptOptions;
using vene::models::Batch;
using vene::models::Output;

struct CellImpl : torch::nn::Module {
  CellImpl(std::int64_t in, std::int64_t out) { linear = register_module("linear", torch::nn::Linear(in, out)); }
  Tensor forward(const Tensor& x) { return torch::tanh(linear(x)); }
  torch::nn::Linear linear{nullptr};
};

// Two tensors in, a tuple out.
struct MixerImpl : torch::nn::Module {
  MixerImpl() {
    torch::manual_seed(6);
    left = register_module("left", std::make_shared<vene::Hooked<CellImpl>>(4, 5));
    right = register_module("right", std::make_shared<vene::Hooked<CellImpl>>(3, 5));
    mixed = register_module("mixed", vene::HookPoint());
    score = register_module("score", torch::nn::Linear(5, 2));
  }
  std::tuple<Tensor, Tensor> forward(const Tensor& a, const Tensor& b) {
    const Tensor sum = mixed(left->forward(a) + right->forward(b));
    return {score(sum), sum};
  }
  std::shared_ptr<vene::Hooked<CellImpl>> left, right;
  vene::HookPoint mixed;
  torch::nn::Linear score{nullptr};
};

struct ConstantImpl : torch::nn::Module {
  Tensor forward(const Tensor& a) const { return a * 2; }
};

Batch two_tensors() {
  torch::manual_seed(8);
  Batch batch;
  batch.inputs_embeds = torch::randn({2, 4});
  batch.extra = {torch::randn({2, 3})};
  return batch;
}

TEST(Adapt, RunsAModuleOfTwoTensorsAndATuple) {
  const auto mixer = std::make_shared<MixerImpl>();
  const auto model = adapt(mixer);
  const Batch batch = two_tensors();
  const Output output = model->forward(batch);
  const auto [logits, sum] = mixer->forward(batch.inputs_embeds, batch.extra[0]);
  EXPECT_TRUE(torch::equal(output.logits, logits));
  ASSERT_EQ(output.extra.size(), 1U);
  EXPECT_TRUE(torch::equal(output.extra[0], sum));
  EXPECT_EQ(model->architecture(), "custom");
  EXPECT_EQ(model->layer_count(), 0);
  EXPECT_EQ(model->parameters().size(), mixer->parameters().size());
}

TEST(Adapt, AForwardMayBeConst) {
  EXPECT_TRUE(torch::equal(output_of(*adapt(std::make_shared<ConstantImpl>()), two_tensors()),
                           two_tensors().inputs_embeds * 2));
}

TEST(Adapt, EveryHookedPlaceIsASiteByItsPath) {
  const auto model = adapt(std::make_shared<MixerImpl>());
  for (const char* path : {"left.input", "left.output", "right.output", "mixed.output"})
    EXPECT_NE(model->sites().try_find(path, -1), nullptr) << path;
  EXPECT_EQ(model->sites().try_find("mixed.input", -1), nullptr) << "a point has an output only";
  const Batch batch = two_tensors();
  EXPECT_TRUE(torch::equal(value_at(*model, batch, "right.input", -1), batch.extra[0]));
  const Tensor changed =
      output_with(*model, batch, "mixed.output", -1, [](Tensor value) { return torch::zeros_like(value); });
  EXPECT_GT(relative_error(changed, output_of(*model, batch)), 1e-3);
}

TEST(Adapt, PlacesCanBeGivenComponentNames) {
  AdaptOptions options;
  options.architecture = "mixer";
  options.sites = {{"block_output", 0, "left.output", {Axis::kBatch, Axis::kFeature}, 5},
                   {"block_output", 1, "mixed.output", {Axis::kBatch, Axis::kFeature}, 5}};
  const auto model = adapt(std::make_shared<MixerImpl>(), options);
  EXPECT_EQ(model->architecture(), "mixer");
  EXPECT_EQ(model->layer_count(), 2);
  EXPECT_EQ(model->sites().find("block_output", 1).path, "mixed.output");
  EXPECT_EQ(model->sites().find("block_output", 1).width, 5);
  EXPECT_TRUE(torch::equal(value_at(*model, two_tensors(), "block_output", 1),
                           value_at(*model, two_tensors(), "mixed.output", -1)));
}

TEST(Adapt, TakesAFunctionWhereAForwardTakesMoreThanTensors) {
  const auto mixer = std::make_shared<MixerImpl>();
  const auto model = adapt(mixer, [mixer](const Batch& batch) {
    Output output;
    output.logits = std::get<0>(mixer->forward(batch.inputs_embeds, batch.inputs_embeds.slice(1, 0, 3)));
    return output;
  });
  EXPECT_THAT(output_of(*model, two_tensors()).sizes(), testing::ElementsAre(2, 2));
}

TEST(Adapt, NamesPathsAndTensorsThatAreNotThere) {
  AdaptOptions options;
  options.sites = {{"block_output", 0, "lefd.output", {}, 0}};
  EXPECT_THAT(model_error([&] { adapt(std::make_shared<MixerImpl>(), options); }),
              HasSubstr("adapt: no hooked module at 'lefd.output'; did you mean 'left.output'"));
  options.sites = {{"block_output", 0, "left.output", {}, 0}, {"block_output", 0, "right.output", {}, 0}};
  EXPECT_THAT(model_error([&] { adapt(std::make_shared<MixerImpl>(), options); }),
              HasSubstr("site 'block_output' of layer 0 is declared twice"));
  const auto model = adapt(std::make_shared<MixerImpl>());
  Batch batch = two_tensors();
  batch.extra.clear();
  EXPECT_THAT(model_error([&] { model->forward(batch); }),
              HasSubstr("the module takes more tensors than the batch has: expected Batch::extra[0]"));
  EXPECT_THAT(model_error([&] { model->forward({}); }), HasSubstr("custom: the batch holds no tensor"));
  vene::models::KeyValueCache cache;
  EXPECT_THAT(model_error([&] { model->forward(two_tensors(), {.cache = &cache}); }), HasSubstr("no key-value cache"));
  EXPECT_THAT(model_error([&] { adapt(nullptr, [](const Batch&) { return Output(); }); }),
              HasSubstr("adapt: a module and a function that runs it are needed"));
}

}  // namespace
