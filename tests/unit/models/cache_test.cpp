// SPDX-License-Identifier: Apache-2.0
#include "helpers.h"

namespace {

using namespace vene_test;
using vene::models::KeyValueCache;

const std::vector<std::vector<std::int64_t>> kRows = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}};

torch::Tensor say(vene::models::Model& model, KeyValueCache& cache, std::int64_t token, std::int64_t rows = 2) {
  return model.forward({.input_ids = torch::full({rows, 1}, token, torch::kInt64)}, {.cache = &cache}).logits;
}

TEST(KeyValueCache, ASteadyDecodingStepAllocatesNothingOnceRoomIsReserved) {
  const auto model = small_gpt2();
  const torch::NoGradGuard no_grad;
  KeyValueCache cache;
  cache.reserve = 16;
  model->forward(padded(kRows, true), {.cache = &cache});
  EXPECT_EQ(cache.allocations(), 3 * 2 + 1);  // keys and values of three layers, the mask
  const void* keys = cache.layers[1].first.data_ptr();
  for (int step = 0; step < 10; ++step) say(*model, cache, 4);
  EXPECT_EQ(cache.length(), 16);
  EXPECT_EQ(cache.allocations(), 3 * 2 + 1);
  EXPECT_EQ(cache.layers[1].first.data_ptr(), keys);
}

TEST(KeyValueCache, BuffersDoubleWhereNothingIsReserved) {
  const auto model = small_gpt2();
  const torch::NoGradGuard no_grad;
  KeyValueCache cache;
  model->forward(row_of({1}), {.cache = &cache});
  for (int step = 0; step < 20; ++step) say(*model, cache, 4, 1);
  EXPECT_EQ(cache.length(), 21);
  EXPECT_LE(cache.allocations(), 3 * 2 * 3);  // of 4, 10 and 22 positions
}

TEST(KeyValueCache, ACopyGoesItsOwnWay) {
  const auto model = small_gpt2();
  const torch::NoGradGuard no_grad;
  for (const std::int64_t reserve : {0, 20}) {
    KeyValueCache cache, alone;
    cache.reserve = reserve;
    model->forward(padded(kRows, true), {.cache = &cache});
    model->forward(padded(kRows, true), {.cache = &alone});
    say(*model, cache, 7);
    say(*model, alone, 7);
    KeyValueCache copy = cache;
    say(*model, copy, 3);
    say(*model, cache, 9);
    say(*model, copy, 50);
    say(*model, alone, 9);
    EXPECT_LE(relative_error(say(*model, cache, 1), say(*model, alone, 1)), 1e-6);
    KeyValueCache again;
    model->forward(padded(kRows, true), {.cache = &again});
    for (const std::int64_t token : {7, 3, 50}) say(*model, again, token);
    EXPECT_LE(relative_error(say(*model, copy, 1), say(*model, again, 1)), 1e-6);
  }
}

TEST(KeyValueCache, GradientsReachWhatWasCached) {
  const auto model = small_gpt2();
  for (auto& parameter : model->parameters()) parameter.set_requires_grad(false);
  torch::Tensor embeddings = torch::randn({1, 3, 16}).requires_grad_();
  KeyValueCache cache;
  cache.reserve = 16;
  model->forward({.inputs_embeds = embeddings}, {.cache = &cache});
  say(*model, cache, 4, 1).sum().backward();
  EXPECT_GT(embeddings.grad().abs().sum().item<double>(), 0);
}

}  // namespace
