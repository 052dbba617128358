// SPDX-License-Identifier: Apache-2.0
// The paths of a checkpoint's modules are sites: those that nothing but a path names, too.
#include <cmath>

#include "tests/unit/models/helpers.h"

namespace vene::models {
namespace {

using torch::Tensor;
using namespace vene_test;

const std::vector<std::int64_t> kRow = {5, 9, 31, 2, 44};

struct Architecture {
  const char* golden;
  const char* body;
  std::vector<std::string> paths;  // of modules
};

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> kAll = {
      {"gpt2_tied",
       "transformer",
       {"transformer", "transformer.wte", "transformer.wpe", "transformer.drop", "transformer.h.0",
        "transformer.h.0.ln_1", "transformer.h.0.attn", "transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj",
        "transformer.h.0.attn.attn_dropout", "transformer.h.0.attn.resid_dropout", "transformer.h.0.ln_2",
        "transformer.h.0.mlp", "transformer.h.0.mlp.c_fc", "transformer.h.0.mlp.c_proj", "transformer.h.0.mlp.act",
        "transformer.h.0.mlp.dropout", "transformer.ln_f", "lm_head"}},
      {"gpt_neo_tied",
       "transformer",
       {"transformer", "transformer.drop", "transformer.h.1.attn.attention.attn_dropout",
        "transformer.h.1.attn.attention.resid_dropout", "transformer.h.1.attn.attention.q_proj",
        "transformer.h.1.mlp.dropout", "lm_head"}},
      {"gpt_neox_serial",
       "gpt_neox",
       {"gpt_neox", "gpt_neox.emb_dropout", "gpt_neox.rotary_emb", "gpt_neox.layers.0.post_attention_dropout",
        "gpt_neox.layers.0.post_mlp_dropout", "gpt_neox.layers.0.attention.query_key_value", "embed_out", "lm_head"}},
      {"llama_gqa_tied",
       "model",
       {"model", "model.rotary_emb", "model.layers.0.self_attn.q_proj", "model.norm", "lm_head"}},
      {"bert_tied",
       "bert",
       {"bert", "bert.embeddings", "bert.embeddings.dropout", "bert.encoder", "bert.encoder.layer.0",
        "bert.encoder.layer.0.attention.self.dropout", "bert.encoder.layer.0.attention.output.dropout",
        "bert.encoder.layer.0.output.dropout", "cls", "cls.predictions", "cls.predictions.transform",
        "cls.predictions.transform.dense", "cls.predictions.transform.transform_act_fn",
        "cls.predictions.transform.LayerNorm", "cls.predictions.decoder"}},
      {"esm_rotary",
       "esm",
       {"esm", "esm.encoder", "esm.encoder.layer.0.attention.self.dropout",
        "esm.encoder.layer.0.attention.self.rotary_embeddings", "esm.encoder.layer.0.attention.output.dropout",
        "esm.encoder.layer.0.output.dropout", "esm.encoder.emb_layer_norm_after", "lm_head", "lm_head.dense",
        "lm_head.layer_norm", "lm_head.decoder"}},
      {"mlp_classifier", "mlp", {"mlp", "mlp.dropout", "mlp.h.0", "mlp.h.0.act", "score"}}};
  return kAll;
}

Batch batch_of(const Model& model) {
  if (model.architecture() != "mlp") return row_of(kRow);
  Batch batch;
  torch::manual_seed(3);
  batch.inputs_embeds = torch::randn({1, 1, model.hidden_size() > 0 ? model.hidden_size() : 16});
  return batch;
}

TEST(Paths, EveryModuleHasItsInputAndItsOutput) {
  const torch::NoGradGuard no_grad;
  for (const Architecture& one : architectures()) {
    const auto model = golden_model(one.golden);
    if (model->architecture() == "mlp") {
      for (const std::string& path : one.paths)
        EXPECT_NE(model->sites().try_find(path + ".input", -1), nullptr) << path;
      continue;
    }
    for (const std::string& path : one.paths) {
      for (const char* end : {".input", ".output"}) {
        const Tensor value = value_at(*model, batch_of(*model), path + end, -1);
        EXPECT_TRUE(value.defined() && value.size(0) == 1) << path << end;
      }
    }
  }
}

TEST(Paths, TheBaseModelGivesTheLastHiddenStateAndTakesTheTokens) {
  const torch::NoGradGuard no_grad;
  for (const Architecture& one : architectures()) {
    const auto model = golden_model(one.golden);
    if (model->architecture() == "mlp") continue;
    const Batch batch = batch_of(*model);
    const std::string body = one.body;
    const Output output = model->forward(batch);
    EXPECT_TRUE(torch::equal(value_at(*model, batch, body + ".output", -1), output.last_hidden_state)) << body;
    EXPECT_TRUE(torch::equal(value_at(*model, batch, body + ".input", -1), batch.input_ids)) << body;
    // What is written there is what the head reads; and where the logits of some positions are asked for, it sees all.
    const auto change = [](Tensor value) {
      EXPECT_EQ(value.size(1), static_cast<std::int64_t>(kRow.size()));
      return value.roll(1, 1);
    };
    const Tensor rolled = output_with(*model, batch, body + ".output", -1, change);
    EXPECT_LE(relative_error(rolled, output.logits.roll(1, 1)), 1e-6) << body;
    const Site& site = model->sites().find(body + ".output", -1);
    HookTable table;
    table.on(site.id, site.phase, [&](const HookContext& context) { context.value() = change(context.value()); });
    const HookScope scope(table);
    const StageState state = model->run(model->begin(batch), 0, model->layer_count());
    EXPECT_LE(relative_error(model->finish(state, torch::tensor({3})).logits, rolled.narrow(1, 3, 1)), 1e-6) << body;
  }
}

TEST(Paths, ADropoutsInputIsItsOutput) {
  const torch::NoGradGuard no_grad;
  const auto model = golden_model("gpt2_tied");
  const Batch batch = row_of(kRow);
  EXPECT_TRUE(torch::equal(value_at(*model, batch, "transformer.h[1].attn.resid_dropout.input", -1),
                           value_at(*model, batch, "transformer.h[1].attn.c_proj.output", -1)));
  EXPECT_TRUE(torch::equal(value_at(*model, batch, "transformer.h.1.attn.attn_dropout.input", -1),
                           value_at(*model, batch, "attention_pattern", 1)));
  const auto doubled = [](Tensor value) { return value * 2; };
  EXPECT_TRUE(torch::equal(output_with(*model, batch, "transformer.drop.input", -1, doubled),
                           output_with(*model, batch, "embedding", -1, doubled)));
}

TEST(Paths, RotaryEmbeddingsGiveCosinesOfTheRowsOwnPositions) {
  const torch::NoGradGuard no_grad;
  const auto model = golden_model("llama_gqa_tied");
  const Batch batch = padded({kRow, {3, 8}}, true);
  const Tensor cosines = value_at(*model, batch, "model.rotary_emb.output", -1);
  ASSERT_EQ(cosines.dim(), 3);
  EXPECT_NEAR(cosines[0][3][0].item<double>(), std::cos(3.0), 1e-6);
  EXPECT_NEAR(cosines[1][4][0].item<double>(), std::cos(1.0), 1e-6);
  EXPECT_TRUE(
      torch::equal(value_at(*model, batch, "model.rotary_emb.input", -1), value_at(*model, batch, "embedding", -1)));
  const auto zeroed = [](Tensor value) { return torch::zeros_like(value); };
  EXPECT_GT(relative_error(output_with(*model, batch, "model.rotary_emb.output", -1, zeroed), output_of(*model, batch)),
            1e-3);
}

TEST(Paths, TheDecoderOfEsmComesBeforeTheBias) {
  const torch::NoGradGuard no_grad;
  for (const char* name : {"esm_rotary", "esm_untied", "esm_absolute"}) {
    const auto model = golden_model(name);
    const Batch batch = row_of(kRow);
    const auto parameters = model->named_parameters();
    const Tensor* bias = parameters.find("lm_head.bias");
    ASSERT_NE(bias, nullptr);
    EXPECT_GT(bias->abs().max().item<double>(), 0);
    const Tensor decoded = value_at(*model, batch, "lm_head.decoder.output", -1), logits = output_of(*model, batch);
    EXPECT_TRUE(torch::equal(decoded + *bias, logits)) << name;
    EXPECT_TRUE(torch::equal(value_at(*model, batch, "lm_head.output", -1), logits)) << name;
    EXPECT_TRUE(torch::equal(value_at(*model, batch, "logits", -1), logits)) << name;
    EXPECT_EQ(model->sites().find("logits", -1).path, "lm_head.output");
  }
}

TEST(Paths, TheHeadOfBertIsAModule) {
  const torch::NoGradGuard no_grad;
  const auto model = golden_model("bert_tied");
  const Batch batch = row_of(kRow);
  const Output output = model->forward(batch);
  for (const char* path : {"cls.output", "cls.predictions.output"})
    EXPECT_TRUE(torch::equal(value_at(*model, batch, path, -1), output.logits)) << path;
  for (const char* path : {"cls.input", "cls.predictions.input"})
    EXPECT_TRUE(torch::equal(value_at(*model, batch, path, -1), output.last_hidden_state)) << path;
}

TEST(Paths, ACheckpointWithoutAHeadHasItsOwnNames) {
  for (const auto& [name, body] : std::vector<std::pair<std::string, std::string>>{{"gpt2_headless", "transformer."},
                                                                                   {"gpt_neox_headless", "gpt_neox."},
                                                                                   {"llama_headless", "model."},
                                                                                   {"gemma2_headless", "model."},
                                                                                   {"bert_headless", "bert."},
                                                                                   {"esm_headless", "esm."}}) {
    const auto model = golden_model(name);
    std::size_t found = 0;
    for (const Site& site : model->sites().all()) {
      ASSERT_TRUE(site.path.starts_with(body)) << site.path;
      const Site& own = model->sites().find(site.path.substr(body.size()), -1);
      EXPECT_EQ(own.id, site.id) << site.path;
      EXPECT_EQ(own.phase, site.phase) << site.path;
      ++found;
    }
    EXPECT_GT(found, 50U) << name;
  }
  // With a head these are not the checkpoint's names.
  EXPECT_EQ(golden_model("gpt2_tied")->sites().try_find("h.0.output", -1), nullptr);
}

TEST(Paths, AHeadMayBeCalledAsCheckpointsCallIt) {
  const auto model = golden_model("gpt_neox_serial");
  EXPECT_EQ(model->sites().find("embed_out.output", -1).id, model->sites().find("logits", -1).id);
}

}  // namespace
}  // namespace vene::models
