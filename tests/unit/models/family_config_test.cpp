// SPDX-License-Identifier: Apache-2.0
// What the families read from config.json, what they refuse there, and the spellings of older files.
#include <gmock/gmock.h>

#include "checkpoint.h"

namespace {

using namespace vene_test;
using testing::HasSubstr;
using Json = nlohmann::json;
using Change = std::function<void(Json&)>;

// A golden folder with another config.json, and its tensors renamed by `rename`.
class Edited {
 public:
  Edited(
      const std::string& name, const Change& change,
      const std::function<std::string(std::string)>& rename = [](std::string tensor) { return tensor; })
      : checkpoint_(name) {
    change(checkpoint_.config);
    NamedValues renamed;
    for (const auto& [tensor, value] : checkpoint_.tensors) renamed[rename(tensor)] = value;
    checkpoint_.tensors = std::move(renamed);
    checkpoint_.write();
  }
  torch::Tensor logits() const { return checkpoint_.logits(); }
  std::string refused() const {
    return model_error([&] { vene::models::load(checkpoint_.folder.path()); });
  }

 private:
  Checkpoint checkpoint_;
};

Change set(const std::string& field, const Json& value) {
  return [field, value](Json& config) { config[field] = value; };
}

torch::Tensor logits_of(const std::string& name) {
  return output_of(*golden_model(name), row_of(three_rows()[0]));
}

std::string refused(const std::string& name, const std::string& field, const Json& value) {
  return Edited(name, set(field, value)).refused();
}

TEST(FamilyConfig, NamesAnActivationOfAnyFamilyThatIsNotBuiltIn) {
  for (const auto& [name, field] :
       {std::pair("gpt_neox_parallel", "hidden_act"), std::pair("gpt_neo_tied", "activation_function"),
        std::pair("mistral_plain", "hidden_act"), std::pair("gemma_tied", "hidden_act"),
        std::pair("gemma2_capped", "hidden_activation")}) {
    EXPECT_THAT(refused(name, field, "sillu"), HasSubstr("activation 'sillu' is not built in; did you mean 'silu'"))
        << name;
  }
}

TEST(FamilyConfig, NamesARopeTypeOfAnyFamilyThatIsNotBuiltIn) {
  const Json axial = {{"rope_type", "axial"}, {"rope_theta", 1e4}, {"factor", 2.0}};
  for (const char* name : {"gpt_neox_parallel", "mistral_plain", "qwen2_plain", "qwen3_plain", "gemma_tied",
                           "gemma2_capped", "olmo_plain", "olmo2_plain"}) {
    EXPECT_THAT(
        refused(name, "rope_parameters", axial),
        HasSubstr("rope_type 'axial' is not supported; known: default, linear, dynamic, yarn, longrope, llama3, "
                  "proportional"))
        << name;
  }
  EXPECT_THAT(refused("qwen2_plain", "rope_parameters", {{"partial_rotary_factor", 0.5}}),
              HasSubstr("field 'partial_rotary_factor' is 0.5"));
}

TEST(FamilyConfig, NamesSwitchesThatAFamilyDoesNotHave) {
  EXPECT_THAT(refused("gpt_neox_parallel", "sliding_window", 8),
              HasSubstr("field 'sliding_window' is 8, which this architecture does not support here"));
  EXPECT_THAT(refused("gpt_neo_tied", "rope_scaling", {{"type", "linear"}}), HasSubstr("field 'rope_scaling' is"));
  EXPECT_THAT(refused("olmo2_plain", "clip_qkv", 8.0), HasSubstr("field 'clip_qkv' is 8.0"));
  EXPECT_THAT(refused("gemma_tied", "query_pre_attn_scalar", 144), HasSubstr("field 'query_pre_attn_scalar' is 144"));
  EXPECT_THAT(refused("gemma_tied", "attn_logit_softcapping", 50.0),
              HasSubstr("field 'attn_logit_softcapping' is 50.0"));
  EXPECT_THAT(refused("gemma2_capped", "use_bidirectional_attention", true),
              HasSubstr("field 'use_bidirectional_attention' is true"));
  EXPECT_THAT(refused("mistral_plain", "layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("field 'layer_types' has 'sliding_attention'"));
  EXPECT_THAT(refused("qwen3_plain", "quantization_config", {{"quant_method", "awq"}}),
              HasSubstr("the checkpoint is quantised (quantization_config, quant_method 'awq')"));
}

TEST(FamilyConfig, NamesLayerTypesAndWindowsThatDoNotFit) {
  EXPECT_THAT(refused("gemma2_capped", "layer_types", {"full_attention"}),
              HasSubstr("field 'layer_types' tells of 1 layers, num_hidden_layers is 3"));
  EXPECT_THAT(refused("qwen2_slides", "layer_types", {"full_attention", "chunked_attention", "full_attention"}),
              HasSubstr("field 'layer_types' has 'chunked_attention'"));
  EXPECT_THAT(refused("qwen3_sliding", "use_sliding_window", false),
              HasSubstr("field 'layer_types' has sliding_attention, and no sliding_window is in use"));
  EXPECT_THAT(refused("mistral_local", "sliding_window", -3),
              HasSubstr("sliding_window: expected a positive number, got -3"));
  EXPECT_THAT(refused("gpt_neo_tied", "attention_types", {{{"global", "lokal", "local"}, 1}}),
              HasSubstr("attention of kind 'lokal' is not built in; did you mean 'local'"));
  EXPECT_THAT(refused("gpt_neo_tied", "attention_types", {{{"global", "local"}, 4}}),
              HasSubstr("tell of 8 layers, num_layers is 3"));
  EXPECT_THAT(refused("gpt_neo_tied", "attention_types", "global"),
              HasSubstr("field 'attention_types': expected a list of [texts, times], got \"global\""));
  EXPECT_THAT(refused("gpt_neo_tied", "window_size", 0), HasSubstr("window_size: expected a positive number, got 0"));
}

TEST(FamilyConfig, NamesSizesThatMakeNoModel) {
  EXPECT_THAT(refused("gpt_neox_parallel", "num_attention_heads", 5),
              HasSubstr("hidden_size 24 is not a multiple of num_attention_heads 5"));
  EXPECT_THAT(refused("gpt_neox_parallel", "rope_parameters", {{"partial_rotary_factor", 0.4}}),
              HasSubstr("3 of a head's 8 cannot be paired"));
  EXPECT_THAT(refused("gpt_neo_tied", "num_heads", 3), HasSubstr("hidden_size 16 is not a multiple of num_heads 3"));
  EXPECT_THAT(refused("olmo_plain", "num_key_value_heads", 3),
              HasSubstr("num_attention_heads 4 is not a multiple of num_key_value_heads 3"));
  EXPECT_THAT(refused("gemma2_capped", "query_pre_attn_scalar", -1),
              HasSubstr("field 'query_pre_attn_scalar': expected a positive number, got -1"));
}

TEST(FamilyConfig, ReadsGptNeoxAsOlderFilesSpellIt) {
  const Edited old("gpt_neox_serial", [](Json& config) {
    config.erase("rope_parameters");
    config["rotary_pct"] = 0.5;
    config["rotary_emb_base"] = 500;
    config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  });
  EXPECT_TRUE(torch::equal(old.logits(), logits_of("gpt_neox_serial")));
  // A quarter of each head turns where nothing is said.
  const Edited silent("gpt_neox_parallel", [](Json& config) { config.erase("rope_parameters"); });
  EXPECT_TRUE(torch::equal(silent.logits(), logits_of("gpt_neox_parallel")));
}

TEST(FamilyConfig, ReadsGptNeoxHeadUnderBothItsNames) {
  const Edited renamed(
      "gpt_neox_parallel", [](Json&) {},
      [](std::string tensor) { return tensor == "embed_out.weight" ? "lm_head.weight" : tensor; });
  EXPECT_TRUE(torch::equal(renamed.logits(), logits_of("gpt_neox_parallel")));
}

TEST(FamilyConfig, ReadsGptNeoLayersFromEitherField) {
  const Edited plain("gpt_neo_tied", [](Json& config) { config.erase("attention_types"); });
  EXPECT_TRUE(torch::equal(plain.logits(), logits_of("gpt_neo_tied")));
  const Edited other("gpt_neo_tied", [](Json& config) {
    config.erase("attention_types");
    config["attention_layers"] = {"global", "global", "global"};
  });
  EXPECT_FALSE(torch::equal(other.logits(), logits_of("gpt_neo_tied")));
}

TEST(FamilyConfig, RefusesGptNeoLayersOnWhichTheTwoFieldsDisagree) {
  EXPECT_THAT(refused("gpt_neo_tied", "attention_layers", Json{"global", "global", "global"}),
              HasSubstr("attention_types and attention_layers contradict each other"));
}

TEST(FamilyConfig, TakesTheWindowsThatTransformersTakesWhereNothingIsSaid) {
  // Gemma 2 alternates, beginning with a window; Qwen slides from max_window_layers on.
  const Edited gemma("gemma2_capped", [](Json& config) { config.erase("layer_types"); });
  EXPECT_TRUE(torch::equal(gemma.logits(), logits_of("gemma2_capped")));
  const Edited qwen("qwen2_slides", [](Json& config) { config.erase("layer_types"); });
  EXPECT_TRUE(torch::equal(qwen.logits(), logits_of("qwen2_slides")));
  // A window that is longer than the text is none, as is null; a short one is not.
  const Edited absent("mistral_plain", [](Json& config) { config.erase("sliding_window"); });
  EXPECT_TRUE(torch::equal(absent.logits(), logits_of("mistral_plain")));
  EXPECT_FALSE(torch::equal(Edited("mistral_plain", set("sliding_window", 2)).logits(), logits_of("mistral_plain")));
}

TEST(FamilyConfig, TakesGemmasPlainGeluForItsTanhForm) {
  EXPECT_TRUE(torch::equal(Edited("gemma_tied", set("hidden_act", "gelu")).logits(), logits_of("gemma_tied")));
  EXPECT_FALSE(torch::equal(Edited("gemma_tied", set("hidden_activation", "relu")).logits(), logits_of("gemma_tied")));
}

}  // namespace
