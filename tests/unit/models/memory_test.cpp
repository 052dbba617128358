// SPDX-License-Identifier: Apache-2.0
// Weights are never held twice while a checkpoint is loaded, whatever is asked for: at most the model's, a quarter
// more, and the file's copy of the one tensor that is being converted.
#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "helpers.h"
#include "tests/unit/io/helpers.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace {

using namespace vene_test;
using vene::models::LoadOptions;

// "VmHWM" (the most memory held so far) or "VmRSS" (now), in bytes; pages of mapped files count.
double memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "/proc/self/status has no " << name;
  return 0;
}

// Lets the high-water mark start anew at what is held now.
void forget_peak() {
  ::malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  ASSERT_TRUE(file.good()) << "the kernel does not let the peak be measured";
}

class LoadMemory : public testing::Test {
 protected:
  // A Llama of 49 million parameters.
  static constexpr std::int64_t kWidth = 512, kInner = 1536, kLayers = 12, kVocabulary = 16000;

  void write(torch::ScalarType type) {
    std::map<std::string, std::vector<std::int64_t>> shapes = {{"model.embed_tokens.weight", {kVocabulary, kWidth}},
                                                               {"model.norm.weight", {kWidth}}};
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      const std::string path = "model.layers." + std::to_string(layer) + ".";
      for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
        shapes[path + "self_attn." + name + ".weight"] = {kWidth, kWidth};
      for (const char* name : {"gate_proj", "up_proj"}) shapes[path + "mlp." + name + ".weight"] = {kInner, kWidth};
      shapes[path + "mlp.down_proj.weight"] = {kWidth, kInner};
      for (const char* name : {"input_layernorm", "post_attention_layernorm"})
        shapes[path + name + ".weight"] = {kWidth};
    }
    vene::io::NamedTensors tensors;
    for (const auto& [name, shape] : shapes) {
      tensors.emplace_back(name, torch::full(shape, 0.01, type));
      parameters_ += static_cast<double>(tensors.back().second.numel());
      largest_ = std::max(largest_, static_cast<double>(tensors.back().second.nbytes()));
    }
    vene::io::write_safetensors(folder_ / "model.safetensors", tensors);
    const nlohmann::json config = {{"model_type", "llama"},       {"hidden_size", kWidth},
                                   {"intermediate_size", kInner}, {"num_hidden_layers", kLayers},
                                   {"num_attention_heads", 8},    {"vocab_size", kVocabulary},
                                   {"tie_word_embeddings", true}};
    folder_.write("config.json", config.dump());
  }
  // The peak of a load above what the library itself takes and the file's largest tensor, over the bytes of the model
  // that comes out.
  double peak(const LoadOptions& options) {
    vene::models::load(golden_folder("llama_gqa_tied").string(), options);  // brings the library's own pages in
    forget_peak();
    const double before = memory("VmRSS");
    const auto lm = vene::models::load(folder_.path(), options);
    const double most = memory("VmHWM") - before - largest_,
                 bytes = parameters_ * static_cast<double>(c10::elementSize(lm.model->dtype()));
    RecordProperty("peak_over_weights", std::to_string(most / bytes));
    std::printf("peak of loading: %.0f MB beyond the largest tensor, %.2f times the weights' %.0f MB\n", most / 1e6,
                most / bytes, bytes / 1e6);
    EXPECT_GT(most, 0.2 * bytes) << "nothing was loaded, or nothing was measured";
    return most / bytes;
  }

  TestFolder folder_;
  double parameters_ = 0, largest_ = 0;
};

TEST_F(LoadMemory, WeightsAsTheFileHasThemAreItsOwnMemory) {
  write(torch::kFloat32);
  EXPECT_LE(peak({}), 1.25);
}

TEST_F(LoadMemory, WeightsToBeTrainedAreCopiedTensorByTensor) {
  write(torch::kFloat32);
  LoadOptions options;
  options.trainable = true;
  EXPECT_LE(peak(options), 1.25);
}

TEST_F(LoadMemory, WeightsOfAnotherTypeAreConvertedTensorByTensor) {
  write(torch::kFloat32);
  LoadOptions options;
  options.dtype = torch::kBFloat16;
  EXPECT_LE(peak(options), 1.25);
}

TEST_F(LoadMemory, HalfWeightsBecomeFloat32TensorByTensor) {
  write(torch::kBFloat16);
  LoadOptions options;
  options.dtype = torch::kFloat32;
  EXPECT_LE(peak(options), 1.25);
}

}  // namespace
