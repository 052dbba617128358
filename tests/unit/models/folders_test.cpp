// SPDX-License-Identifier: Apache-2.0
// Folders as people have them: tensors kept once, under wrappers' names, beside other things, in another shard.
#include <gmock/gmock.h>

#include "checkpoint.h"
#include "tests/places.h"
#include "tests/unit/io/helpers.h"
#include "vene/io/npz.h"
#include "vene/io/torch_archive.h"

namespace {

using namespace vene_test;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using vene::models::LoadOptions;
using Json = nlohmann::json;

// The logits of a golden folder, and of the same with its tensors changed.
torch::Tensor logits_with(const std::string& name, const std::function<void(NamedValues&)>& change,
                          const LoadOptions& options = {}) {
  Checkpoint checkpoint(name);
  change(checkpoint.tensors);
  return checkpoint.logits(options);
}
void rename(NamedValues& tensors, const std::string& from, const std::string& to) {
  tensors[to] = tensors.extract(from).mapped();
}
NamedValues with_names(const NamedValues& tensors, const std::function<std::string(const std::string&)>& name) {
  NamedValues renamed;
  for (const auto& [old, tensor] : tensors) renamed[name(old)] = tensor;
  return renamed;
}

TEST(Folders, TiedEmbeddingsKeptOnceAreFoundUnderEitherName) {
  const std::map<std::string, std::pair<std::string, std::string>> tied{
      {"gpt2_tied", {"transformer.wte.weight", "lm_head.weight"}},
      {"llama_gqa_tied", {"model.embed_tokens.weight", "lm_head.weight"}},
      {"gemma_tied", {"model.embed_tokens.weight", "lm_head.weight"}},
      {"gpt_neo_tied", {"transformer.wte.weight", "lm_head.weight"}},
      {"gpt_neox_serial", {"gpt_neox.embed_in.weight", "embed_out.weight"}},
      {"bert_tied", {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}},
      {"esm_rotary", {"esm.embeddings.word_embeddings.weight", "lm_head.decoder.weight"}}};
  for (const auto& [name, names] : tied) {
    SCOPED_TRACE(name);
    const auto only = [&](const std::string& kept) {
      return [&names = names, kept](NamedValues& tensors) {
        const torch::Tensor table = tensors.at(names.first);
        tensors.erase(names.first);
        tensors.erase(names.second);
        tensors[kept] = table;
      };
    };
    const torch::Tensor expected = Checkpoint(name).logits();
    EXPECT_TRUE(torch::equal(logits_with(name, only(names.first)), expected));
    EXPECT_TRUE(torch::equal(logits_with(name, only(names.second)), expected));
  }
}

TEST(Folders, WhatWrappersPutBeforeNamesIsPassedOver) {
  for (const char* name : {"llama_mha", "llama_headless", "gpt2_tied", "gpt2_headless", "gpt_neox_parallel",
                           "bert_tied", "bert_headless", "qwen2_plain"}) {
    const torch::Tensor expected = Checkpoint(name).logits();
    for (const char* wrapper : {"module.", "_orig_mod.", "model.", "base_model.model.", "pretrained_model.",
                                "transformer.", "module._orig_mod.", "language_model.", "_forward_module.module."}) {
      SCOPED_TRACE(std::string(name) + " " + wrapper);
      EXPECT_TRUE(torch::equal(logits_with(name,
                                           [&](NamedValues& tensors) {
                                             tensors = with_names(
                                                 tensors, [&](const std::string& old) { return wrapper + old; });
                                           }),
                               expected));
    }
  }
}

TEST(Folders, WhatWrappersPutInsideNamesIsPassedOver) {
  const torch::Tensor expected = Checkpoint().logits();
  for (const char* inside : {"_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod."}) {
    EXPECT_TRUE(torch::equal(logits_with("llama_mha",
                                         [&](NamedValues& tensors) {
                                           tensors = with_names(tensors, [&](std::string name) {
                                             if (const std::size_t at = name.find("self_attn.");
                                                 at != std::string::npos)
                                               name.insert(at, inside);
                                             return name;
                                           });
                                         }),
                             expected));
  }
}

TEST(Folders, MessagesHaveTheFilesOwnNames) {
  const auto refused = [](const std::string& name, const std::function<void(NamedValues&)>& change) {
    Checkpoint checkpoint(name);
    change(checkpoint.tensors);
    return checkpoint.refused();
  };
  EXPECT_THAT(refused("gpt2_headless", [](NamedValues& tensors) { tensors.erase("h.0.ln_1.weight"); }),
              EndsWith(": 1 tensor is missing: h.0.ln_1.weight"));
  EXPECT_THAT(refused("llama_mha",
                      [](NamedValues& tensors) {
                        tensors = with_names(tensors, [](const std::string& name) { return "module." + name; });
                        tensors["module.model.norm.weight"] = torch::ones({17});
                        tensors.erase("module.lm_head.weight");
                      }),
              AllOf(HasSubstr("1 tensor is missing: module.lm_head.weight"),
                    HasSubstr("module.model.norm.weight is [17], expected [16]")));
  EXPECT_THAT(refused("bert_tied",
                      [](NamedValues& tensors) {
                        rename(tensors, "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma");
                        tensors["bert.embeddings.LayerNorm.gamma"] = torch::ones({3});
                      }),
              HasSubstr("bert.embeddings.LayerNorm.gamma is [3]"));
  EXPECT_THAT(
      refused(
          "llama_mha",
          [](NamedValues& tensors) { tensors["module.model.norm.weight"] = tensors.at("model.norm.weight").clone(); }),
      HasSubstr("holds 'model.norm.weight' and 'module.model.norm.weight', which are one tensor of this model"));
}

class Sharded : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint.folder.write("config.json", checkpoint.config.dump());
    for (const auto& [name, tensor] : checkpoint.tensors) {
      const bool early = first.size() < 5;
      (early ? first : second).emplace_back(name, tensor);
      map[name] = early ? "model-1.safetensors" : "model-2.safetensors";
    }
  }
  torch::Tensor logits() {
    vene::io::write_safetensors(checkpoint.folder / "model-1.safetensors", first);
    vene::io::write_safetensors(checkpoint.folder / "model-2.safetensors", second);
    checkpoint.folder.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
    return output_of(*vene::models::load(checkpoint.folder.path()).model, row_of(three_rows()[0]));
  }

  Checkpoint checkpoint;
  const torch::Tensor expected = checkpoint.logits();
  vene::io::NamedTensors first, second;
  Json map;
};

TEST_F(Sharded, TheIndexMayNameABufferThatIsNotThereOrTheOtherShard) {
  std::filesystem::remove(checkpoint.folder / "model.safetensors");
  map["model.layers.0.self_attn.rotary_emb.inv_freq"] = "model-1.safetensors";
  map[first[0].first] = "model-2.safetensors";
  map.erase(second[0].first);
  EXPECT_TRUE(torch::equal(logits(), expected));
}

TEST_F(Sharded, ATensorOfTheModelThatNoShardHasIsNamedWithItsPlace) {
  std::filesystem::remove(checkpoint.folder / "model.safetensors");
  const std::string lost = second[1].first;
  second.erase(second.begin() + 1);
  EXPECT_THAT(model_error([&] { logits(); }),
              EndsWith("1 tensor is missing: " + lost + " (which the index places in 'model-2.safetensors')"));
}

TEST(Folders, EntriesOfABinThatAreNoTensorsArePassedOverWithAWarning) {
  std::vector<std::string> others;
  const auto tensors = vene::io::read_state_dict(golden_file("training_state.pt"), &others);
  EXPECT_THAT(others, ElementsAre("global_step", "note", "schedule", "rates"));
  const NamedValues expected = read_values(golden_file("training_state.safetensors"));
  ASSERT_EQ(tensors.size(), 2U);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(torch::equal(tensor, expected.at(name))) << name;
  EXPECT_THAT(error_of<vene::IoError>([] { vene::io::read_state_dict(golden_file("training_state.pt")); }),
              EndsWith("entry 'global_step' is an integer, not a tensor"));
  others.clear();
  EXPECT_THAT(error_of<vene::IoError>([&] { vene::io::read_state_dict(golden_file("containers_2.pt"), &others); }),
              EndsWith("entry 'none' is None, not a tensor"))
      << "nothing in it is a tensor";
}

TEST(Folders, ABinWithANumberFillsAModuleOfOnesOwn) {
  struct Own : torch::nn::Module {
    Own() {
      weight = register_parameter("weight", torch::zeros({2, 3}));
      bias = register_parameter("bias", torch::zeros({3}));
    }
    torch::Tensor weight, bias;
  } own;
  const TestFolder folder;
  std::filesystem::copy_file(golden_file("training_state.pt"), folder / "pytorch_model.bin");
  vene::models::load_parameters(own, folder.path());
  const NamedValues expected = read_values(golden_file("training_state.safetensors"));
  EXPECT_TRUE(torch::equal(own.weight, expected.at("weight")));
  EXPECT_TRUE(torch::equal(own.bias, expected.at("bias")));
}

TEST(Folders, ExtraTensorsAreRefusedOrPassedOverAsAskedFor) {
  const auto extra = [](NamedValues& tensors) {
    tensors["v_head.summary.weight"] = torch::ones({1, 16});
    tensors["v_pred"] = torch::ones({0});
  };
  EXPECT_THAT(model_error([&] { logits_with("llama_mha", extra); }),
              EndsWith("2 tensors belong to nothing in this model: v_head.summary.weight, v_pred (`ignore_extra`, "
                       "--ignore-extra, passes over such tensors)"));
  std::vector<std::string> warnings;
  LoadOptions options;
  options.ignore_extra = true;
  options.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  EXPECT_TRUE(torch::equal(logits_with("llama_mha", extra, options), Checkpoint().logits()));
  EXPECT_THAT(warnings, ElementsAre(EndsWith("2 tensors that belong to nothing in this model are passed over: "
                                             "v_head.summary.weight, v_pred")));
  EXPECT_THAT(model_error([&] {
                logits_with(
                    "llama_mha", [](NamedValues& tensors) { tensors.erase("model.norm.weight"); }, options);
              }),
              EndsWith("1 tensor is missing: model.norm.weight"));
}

TEST(Folders, InspectSaysWhatTheWeightsTakeWhileTheModelRuns) {
  Checkpoint checkpoint("llama_gqa_tied");
  checkpoint.tensors["lm_head.weight"] = checkpoint.tensors.at("model.embed_tokens.weight").clone();
  checkpoint.config["dtype"] = "bfloat16";
  const std::string path = checkpoint.write();
  const auto model = vene::models::load(path).model;
  std::int64_t bytes = 0;
  for (const torch::Tensor& parameter : model->parameters()) bytes += static_cast<std::int64_t>(parameter.nbytes());
  EXPECT_EQ(vene::models::inspect(path).run_bytes, bytes);
  EXPECT_EQ(vene::models::inspect(path).run_dtype, "bfloat16");
  LoadOptions options;
  options.dtype = torch::kFloat32;
  EXPECT_EQ(vene::models::inspect(path, options).run_bytes, 2 * bytes);
}

// The folders of ../shared/cases/checkpoints, read in place: their logits are those that transformers gives.
class SharedCheckpoints : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder = std::filesystem::path(kSourceFolder) / ".." / "shared" / "cases" / "checkpoints" / GetParam();
    if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << folder << " is absent beside the checkout";
  }
  std::filesystem::path folder;
};

TEST_P(SharedCheckpoints, GiveTheLogitsOfTransformers) {
  torch::Tensor ids, expected;
  for (const auto& [name, tensor] : vene::io::read_npz((folder / "ref.npz").string()))
    (name == "ids" ? ids : expected) = tensor;
  LoadOptions options;
  options.ignore_extra = std::string(GetParam()).starts_with("21");
  std::vector<std::string> warnings;
  options.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  const auto model = vene::models::load(folder.string(), options).model;
  EXPECT_LE(relative_error(model->forward({.input_ids = ids}).logits, expected), 1e-5);
  EXPECT_EQ(warnings.size(), options.ignore_extra || std::string(GetParam()) == "19b" ? 1U : 0U);
  EXPECT_GT(vene::models::inspect(folder.string(), options).run_bytes, 0);
}
INSTANTIATE_TEST_SUITE_P(Case, SharedCheckpoints, testing::Values("18", "19b", "20b", "21", "21b", "25", "26"),
                         [](const auto& info) { return std::string("folder") + info.param; });

}  // namespace
