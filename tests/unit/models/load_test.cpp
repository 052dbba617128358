// SPDX-License-Identifier: Apache-2.0
// The loader: what it accepts, and what it says about what it does not.
#include "vene/models/load.h"

#include <gmock/gmock.h>

#include "checkpoint.h"
#include "tests/unit/io/helpers.h"

namespace {

using namespace vene_test;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using vene::models::LoadOptions;
using Json = nlohmann::json;

// The error of changed tensors, which only the weights' own check sees and `inspect` does not.
std::string refused_weights(const std::function<void(NamedValues&)>& change) {
  Checkpoint checkpoint;
  change(checkpoint.tensors);
  const std::string path = checkpoint.write();
  const std::string what = model_error([&] { vene::models::load(path); });
  EXPECT_EQ(what.find('\n'), std::string::npos) << what;
  return what;
}

TEST(Load, NamesAFolderAConfigOrWeightsThatAreMissing) {
  EXPECT_THAT(Checkpoint::refused_as_it_is("/nowhere/to/be/found"), HasSubstr("/nowhere/to/be/found: no such folder"));
  const Checkpoint checkpoint;
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()),
              HasSubstr("no config.json here; expected a Hugging Face checkpoint folder"));
  checkpoint.folder.write("config.json", checkpoint.config.dump());
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()),
              HasSubstr("holds no weights: expected model.safetensors, model.safetensors.index.json, pytorch_model.bin "
                        "or pytorch_model.bin.index.json"));
}

TEST(Load, NamesTheArchitecturesThatItKnows) {
  Checkpoint checkpoint;
  checkpoint.config["model_type"] = "lama";
  EXPECT_THAT(checkpoint.refused(), AllOf(HasSubstr("unsupported model_type 'lama'; supported: "), HasSubstr("gpt2"),
                                          HasSubstr("llama"), HasSubstr("mlp")));
  checkpoint.config.erase("model_type");
  EXPECT_THAT(checkpoint.refused(), HasSubstr("config.json: field 'model_type' is missing"));
}

TEST(Load, NamesConfigFieldsOfTheWrongTypeAndThoseThatAreMissing) {
  const auto with = [](const std::string& field, const Json& value) {
    Checkpoint checkpoint;
    checkpoint.config[field] = value;
    return checkpoint.refused();
  };
  EXPECT_THAT(with("hidden_size", "16"),
              HasSubstr("config.json: field 'hidden_size': expected an integer, got \"16\""));
  EXPECT_THAT(with("hidden_size", 16.5), HasSubstr("field 'hidden_size': expected an integer, got 16.5"));
  EXPECT_THAT(with("hidden_size", std::uint64_t{1} << 63),
              HasSubstr("field 'hidden_size': expected an integer, got 9223372036854775808"));
  EXPECT_THAT(with("hidden_size", nullptr), HasSubstr("field 'hidden_size' is missing"));
  EXPECT_THAT(with("rms_norm_eps", "tiny"), HasSubstr("field 'rms_norm_eps': expected a number, got \"tiny\""));
  EXPECT_THAT(with("tie_word_embeddings", 1), HasSubstr("field 'tie_word_embeddings': expected true or false, got 1"));
  EXPECT_THAT(with("hidden_act", Json::array()), HasSubstr("field 'hidden_act': expected a text, got []"));
  EXPECT_THAT(with("rope_parameters", 3), HasSubstr("field 'rope_parameters': expected an object, got 3"));
  EXPECT_THAT(with("architectures", "LlamaForCausalLM"), HasSubstr("field 'architectures': expected a list of texts"));
  EXPECT_THAT(with("dtype", "float31"), HasSubstr("unknown dtype 'float31'; did you mean 'float32'"));
  EXPECT_THAT(with("num_attention_heads", 0),
              HasSubstr("config.json: num_attention_heads: expected a positive number, got 0"));
}

TEST(Load, NamesTheTensorsThatSizesBeyondAllMemoryDoNotFit) {
  Checkpoint checkpoint;
  checkpoint.config["vocab_size"] = std::int64_t{1} << 40;
  const std::string path = checkpoint.write();
  EXPECT_THAT(model_error([&] { vene::models::load(path); }),
              HasSubstr("model.embed_tokens.weight is [60, 16], expected [1099511627776, 16]"));
  checkpoint.config["hidden_size"] = std::int64_t{1} << 40;
  EXPECT_THAT(checkpoint.refused(), HasSubstr("config.json: a model of these sizes cannot be made: "));
}

// LibTorch has a flag for ending the process instead, which a name shared by two libraries once set.
TEST(Load, MemoryThatIsNotThereIsAnErrorLikeAnyOther) {
  EXPECT_THROW(torch::empty({std::int64_t{1} << 46}), c10::Error);
}

TEST(Load, NamesAConfigThatIsNotJson) {
  const Checkpoint checkpoint;
  checkpoint.write();
  checkpoint.folder.write("config.json", "{\"model_type\": ");
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()), HasSubstr("config.json: not JSON"));
  checkpoint.folder.write("config.json", "[]");
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()), HasSubstr("config.json: expected a JSON object"));
}

TEST(Load, RefusesConfigFieldsThatWouldChangeItsResultsByName) {
  const auto with = [](const std::string& field, const Json& value) {
    Checkpoint checkpoint;
    checkpoint.config[field] = value;
    return checkpoint.refused();
  };
  EXPECT_THAT(with("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}),
              HasSubstr("the checkpoint is quantised (quantization_config, quant_method 'gptq')"));
  EXPECT_THAT(with("hidden_act", "gelu_newer"),
              HasSubstr("config.json: activation 'gelu_newer' is not built in; did you mean "));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "axial"}, {"rope_theta", 1e4}}),
              HasSubstr("rope_type 'axial' is not supported; known: default, linear, dynamic, yarn, longrope, llama3, "
                        "proportional"));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "linear"}}),
              HasSubstr("rope_parameters: field 'factor' is missing"));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "linear"}, {"factor", 0}}),
              HasSubstr("field 'factor': expected a positive number, got 0"));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "llama3"}, {"factor", 8}}),
              HasSubstr("rope_parameters: field 'low_freq_factor' is missing"));
  EXPECT_THAT(with("rope_parameters", {{"partial_rotary_factor", 0.5}}),
              HasSubstr("field 'partial_rotary_factor' is 0.5"));
  EXPECT_THAT(with("rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}),
              HasSubstr("rotary positions that differ from layer to layer are not supported"));
  EXPECT_THAT(with("sliding_window", 8),
              HasSubstr("config.json: field 'sliding_window' is 8, which this architecture does not support here"));
  EXPECT_THAT(with("final_logit_softcapping", 30.0), HasSubstr("field 'final_logit_softcapping' is 30.0"));
  EXPECT_THAT(
      with("logits_scaling", 8),
      HasSubstr("field 'logits_scaling' is 8, which this architecture does not support here; expected 1 or none"));
  EXPECT_THAT(with("layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("field 'layer_types' has 'sliding_attention'"));
}

TEST(Load, AcceptsConfigFieldsThatChangeNothing) {
  const torch::Tensor expected = Checkpoint().logits();
  Checkpoint checkpoint;
  checkpoint.config["attention_dropout"] = 0.1;
  checkpoint.config["sliding_window"] = 8;
  checkpoint.config["use_sliding_window"] = false;
  checkpoint.config["final_logit_softcapping"] = nullptr;
  checkpoint.config["logits_scaling"] = 1.0;
  checkpoint.config["layer_types"] = {"full_attention", "full_attention"};
  checkpoint.config["name_of_its_author"] = "someone";
  EXPECT_TRUE(torch::equal(checkpoint.logits(), expected));
}

TEST(Load, NamesTensorsThatAreMissingExtraOrOfTheWrongShapeOrType) {
  const std::string up = "model.layers.1.mlp.up_proj.weight";
  EXPECT_THAT(refused_weights([&](NamedValues& tensors) { tensors.erase(up); }),
              EndsWith(": 1 tensor is missing: " + up));
  EXPECT_THAT(
      refused_weights(
          [&](NamedValues& tensors) { tensors["model.layers.1.mlp.up_porj.weight"] = tensors.extract(up).mapped(); }),
      AllOf(HasSubstr("1 tensor is missing: " + up),
            HasSubstr("1 tensor belongs to nothing in this model: model.layers.1.mlp.up_porj.weight; did you mean '" +
                      up + "'")));
  EXPECT_THAT(refused_weights([](NamedValues& tensors) { tensors["model.norm.weight"] = torch::ones({17}); }),
              EndsWith(": 1 tensor has the wrong shape: model.norm.weight is [17], expected [16]"));
  EXPECT_THAT(
      refused_weights([](NamedValues& tensors) { tensors["model.norm.weight"] = torch::ones({16}, torch::kInt8); }),
      EndsWith("1 tensor has the wrong type: model.norm.weight is Char, expected Float, Half or BFloat16"));
  EXPECT_THAT(refused_weights([](NamedValues& tensors) { tensors.erase("lm_head.weight"); }),
              EndsWith(": 1 tensor is missing: lm_head.weight"));
  EXPECT_THAT(refused_weights([](NamedValues& tensors) {
                std::erase_if(tensors,
                              [](const auto& entry) { return entry.first.find("self_attn") != std::string::npos; });
              }),
              AllOf(HasSubstr(": 8 tensors are missing: "), EndsWith("and 3 more")));
}

TEST(Load, NamesACutOrCorruptedSafetensorsFile) {
  const Checkpoint checkpoint;
  const std::string path = checkpoint.write(), file = checkpoint.folder / "model.safetensors";
  const std::uintmax_t size = std::filesystem::file_size(file);
  std::filesystem::resize_file(file, size - 100);
  EXPECT_THAT(Checkpoint::refused_as_it_is(path),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("it was cut or is damaged")));
  std::filesystem::resize_file(file, 50);
  EXPECT_THAT(Checkpoint::refused_as_it_is(path), HasSubstr("says that its header takes"));
  checkpoint.folder.write("model.safetensors", "");
  EXPECT_THAT(Checkpoint::refused_as_it_is(path), HasSubstr("is no safetensors file: it has only 0 bytes"));
  checkpoint.folder.write("model.safetensors",
                          safetensors_bytes(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4));
  EXPECT_THAT(Checkpoint::refused_as_it_is(path), HasSubstr("F31"));
}

TEST(Load, RefusesAPickleThatAsksForMoreThanTensors) {
  const Checkpoint checkpoint;
  checkpoint.folder.write("config.json", checkpoint.config.dump());
  std::filesystem::copy_file(golden_file("command.pt"), checkpoint.folder / "pytorch_model.bin");
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()),
              AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("names the global"), HasSubstr("which is refused")));
}

TEST(Load, ReadsShardsAndNamesWhatIsWrongWithThem) {
  const torch::Tensor expected = Checkpoint().logits();
  const Checkpoint checkpoint;
  checkpoint.folder.write("config.json", checkpoint.config.dump());
  vene::io::NamedTensors first, second;
  Json map;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const bool early = first.size() < 5;
    (early ? first : second).emplace_back(name, tensor);
    map[name] = early ? "model-1.safetensors" : "model-2.safetensors";
  }
  vene::io::write_safetensors(checkpoint.folder / "model-1.safetensors", first);
  vene::io::write_safetensors(checkpoint.folder / "model-2.safetensors", second);
  const auto index = [&](const Json& places) {
    checkpoint.folder.write("model.safetensors.index.json", Json{{"weight_map", places}}.dump());
  };
  index(map);
  EXPECT_TRUE(
      torch::equal(output_of(*vene::models::load(checkpoint.folder.path()).model, row_of(three_rows()[0])), expected));
  std::filesystem::remove(checkpoint.folder / "model-2.safetensors");
  EXPECT_THAT(Checkpoint::refused_as_it_is(checkpoint.folder.path()),
              AllOf(HasSubstr("names the shard 'model-2.safetensors'"), HasSubstr("missing beside it")));
}

TEST(Load, WarnsOnceOfValuesThatAreNotFinite) {
  Checkpoint checkpoint;
  checkpoint.tensors["model.norm.weight"][3] = std::numeric_limits<float>::quiet_NaN();
  checkpoint.tensors["model.embed_tokens.weight"][1].slice(0, 0, 2).fill_(std::numeric_limits<float>::infinity());
  std::vector<std::string> warnings;
  LoadOptions options;
  options.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  vene::models::load(checkpoint.write(), options);
  EXPECT_THAT(
      warnings,
      testing::ElementsAre(EndsWith(
          ": 2 tensors hold values that are NaN or infinite: model.embed_tokens.weight (2), model.norm.weight (1)")));
  warnings.clear();
  vene::models::load(Checkpoint().write(), options);
  EXPECT_TRUE(warnings.empty());
}

TEST(Load, TakesTheTypeThatIsAskedForOrThatTheConfigOrTheWeightsName) {
  Checkpoint checkpoint;
  const auto type = [&](const LoadOptions& options = {}) {
    const auto model = vene::models::load(checkpoint.write(), options).model;
    for (const torch::Tensor& parameter : model->parameters()) EXPECT_EQ(parameter.scalar_type(), model->dtype());
    return model->dtype();
  };
  EXPECT_EQ(type(), torch::kFloat32);
  checkpoint.config["dtype"] = "bfloat16";
  EXPECT_EQ(type(), torch::kBFloat16);
  LoadOptions options;
  options.dtype = torch::kFloat16;
  EXPECT_EQ(type(options), torch::kFloat16);
  checkpoint.config.erase("dtype");
  checkpoint.config["torch_dtype"] = "torch.float16";
  EXPECT_EQ(type(), torch::kFloat16);
  checkpoint.config.erase("torch_dtype");
  for (auto& [name, tensor] : checkpoint.tensors) tensor = tensor.to(torch::kBFloat16);
  EXPECT_EQ(type(), torch::kBFloat16);
  checkpoint.tensors["model.norm.weight"] = checkpoint.tensors["model.norm.weight"].to(torch::kFloat32);
  EXPECT_EQ(type(), torch::kFloat32) << "weights of several types";
}

TEST(Load, FreezesParametersUnlessTheyAreToBeTrained) {
  const Checkpoint checkpoint;
  const std::string path = checkpoint.write();
  for (const torch::Tensor& parameter : vene::models::load(path).model->parameters())
    EXPECT_FALSE(parameter.requires_grad());
  LoadOptions options;
  options.trainable = true;
  const auto model = vene::models::load(path, options).model;
  torch::Tensor before = output_of(*model, row_of({1, 2}));
  before.sum().backward();
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters()) {
      EXPECT_TRUE(parameter.grad().defined());
      parameter.add_(1);
    }
  }
  EXPECT_TRUE(torch::equal(output_of(*vene::models::load(path).model, row_of({1, 2})), before))
      << "training reached the file";
}

TEST(Load, ReadsAHeadlessCheckpointIntoAModelWithAHeadsNames) {
  const auto model = vene::models::load(golden_folder("gpt2_headless").string()).model;
  EXPECT_TRUE(model->named_parameters().contains("transformer.h.0.ln_1.weight"));
  EXPECT_EQ(model->sites().try_find("logits", -1), nullptr);
}

TEST(Load, PassesOverTheCopyOfATiedHeadAndOldBuffers) {
  const torch::Tensor expected = Checkpoint("gpt2_tied").logits();
  Checkpoint checkpoint("gpt2_tied");
  checkpoint.tensors["lm_head.weight"] = checkpoint.tensors.at("transformer.wte.weight").clone();
  checkpoint.tensors["transformer.h.0.attn.bias"] = torch::ones({1, 1, 24, 24}, torch::kBool);
  EXPECT_TRUE(torch::equal(checkpoint.logits(), expected));
}

TEST(Load, RefusesAHeadOfItsOwnWhereTheConfigTiesIt) {
  const std::map<std::string, std::pair<std::string, std::string>> heads{
      {"gpt2_untied", {"lm_head.weight", "transformer.wte.weight"}},
      {"gpt_neo_untied", {"lm_head.weight", "transformer.wte.weight"}},
      {"gpt_neox_parallel", {"embed_out.weight", "gpt_neox.embed_in.weight"}},
      {"llama_mha", {"lm_head.weight", "model.embed_tokens.weight"}},
      {"gemma_untied", {"lm_head.weight", "model.embed_tokens.weight"}},
      {"bert_untied", {"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"}},
      {"esm_untied", {"lm_head.decoder.weight", "esm.embeddings.word_embeddings.weight"}}};
  for (const auto& [name, names] : heads) {
    Checkpoint checkpoint(name);
    checkpoint.config["tie_word_embeddings"] = true;
    const std::string path = checkpoint.write();
    EXPECT_THAT(model_error([&] { vene::models::load(path); }),
                HasSubstr("'" + names.first + "' differs from '" + names.second +
                          "', and config.json ties the two; with \"tie_word_embeddings\": false the head is used"));
  }
}

TEST(Load, RefusesMoreLayersThanTheCheckpointHasTensors) {
  for (const auto& [name, field] : std::map<std::string, std::string>{
           {"llama_mha", "num_hidden_layers"}, {"gpt2_tied", "n_layer"}, {"gpt_neo_tied", "num_layers"}}) {
    Checkpoint checkpoint(name);
    checkpoint.config[field] = 20000000;
    EXPECT_THAT(checkpoint.refused(),
                HasSubstr("config.json: field '" + field + "' is 20000000, more than the checkpoint has tensors (" +
                          std::to_string(checkpoint.tensors.size()) + ")"));
  }
}

TEST(Inspect, SaysWhatAFolderHolds) {
  Checkpoint checkpoint("llama_gqa_tied");
  for (auto& [name, tensor] : checkpoint.tensors) tensor = tensor.to(torch::kFloat16);
  const auto info = vene::models::inspect(checkpoint.write());
  std::int64_t count = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) count += tensor.numel();
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.parameters, count);
  EXPECT_EQ(info.bytes, 2 * count);
  EXPECT_THAT(info.dtypes, testing::ElementsAre("float16"));
  EXPECT_EQ(info.layers, 3);
  EXPECT_EQ(info.width, 16);
  EXPECT_EQ(info.vocabulary, 60);
  EXPECT_EQ(info.context, 24);
  EXPECT_EQ(info.tokenizer, "");
}

}  // namespace
