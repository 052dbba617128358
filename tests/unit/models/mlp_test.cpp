// SPDX-License-Identifier: Apache-2.0
// What the MLP classifier does beyond its golden values.
#include "vene/models/mlp.h"

#include <gmock/gmock.h>

#include "helpers.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using vene::models::Batch;
using vene::models::MLPClassifier;
using vene::models::MLPOptions;

Batch vectors(std::vector<std::int64_t> shape) {
  torch::manual_seed(4);
  Batch batch;
  batch.inputs_embeds = torch::randn(shape);
  return batch;
}

TEST(MlpClassifier, StagesEqualTheForwardAndRowsEqualThemselvesAlone) {
  const auto model = golden_model("mlp_classifier");
  const Batch batch = vectors({4, 1, 12});
  const torch::Tensor whole = output_of(*model, batch);
  EXPECT_THAT(whole.sizes(), testing::ElementsAre(4, 3));
  for (std::int64_t cut = 0; cut <= 2; ++cut) {
    EXPECT_TRUE(torch::equal(model->finish(model->run(model->run(model->begin(batch), 0, cut), cut, 2)).logits, whole))
        << cut;
  }
  for (std::int64_t row = 0; row < 4; ++row) {
    Batch alone;
    alone.inputs_embeds = batch.inputs_embeds.narrow(0, row, 1);
    EXPECT_LE(relative_error(output_of(*model, alone)[0], whole[row]), 1e-6) << row;
  }
}

TEST(MlpClassifier, ABlocksOutputIsItsActivationsAndTheNextBlocksInput) {
  const auto model = golden_model("mlp_positions");
  const NamedValues values = values_at_named_sites(*model, vectors({2, 5, 12}));
  EXPECT_TRUE(torch::equal(values.at("block_output.0"), values.at("mlp_activation.0")));
  EXPECT_TRUE(torch::equal(values.at("block_output.0"), values.at("block_input.1")));
}

TEST(MlpClassifier, RefusesWhatItCannotRead) {
  const auto model = golden_model("mlp_classifier");
  const auto refused = [&](const Batch& batch) { return model_error([&] { model->forward(batch); }); };
  EXPECT_THAT(refused(row_of({1, 2})), HasSubstr("this model takes inputs_embeds [batch, pos, 12], not token ids"));
  EXPECT_THAT(refused({}), HasSubstr("inputs_embeds: expected [batch, pos, 12], got nothing"));
  EXPECT_THAT(refused(vectors({4, 12})), HasSubstr("inputs_embeds: expected shape [batch, pos, 12], got [4, 12]"));
  EXPECT_THAT(refused(vectors({4, 1, 11})), HasSubstr("got [4, 1, 11]"));
  MLPOptions options;
  options.num_classes = 0;
  EXPECT_THAT(model_error([&] { MLPClassifier none(options); }),
              HasSubstr("expected positive numbers, got 512, 2 and 0"));
}

}  // namespace
