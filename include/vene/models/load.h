// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/model.h"
#include "vene/text/tokenizer.h"

namespace vene::models {

struct LoadOptions {
  /// Empty: what config.json says ("dtype" or "torch_dtype"), else the weights'
  std::optional<torch::ScalarType> dtype{};
  torch::Device device = torch::kCPU;
  bool trainable = false;                          ///< whether parameters require gradients
  bool ignore_extra = false;                       ///< pass over tensors that the model has no place for, and warn
  std::function<void(const std::string&)> warn{};  ///< told of NaNs and the like; default: a line on stderr
};

/// A model and, where the folder has one, its tokenizer.
struct VENE_API LanguageModel {
  std::shared_ptr<Model> model{};
  std::shared_ptr<const text::Tokenizer> tokenizer{};  ///< null without tokenizer files

  /// Token ids of one text, special tokens as the checkpoint's tokenizer adds them: a batch of one row.
  Batch encode(const std::string& text) const;
  /// Several texts, padded on the right, with an attention mask.
  Batch encode(const std::vector<std::string>& texts) const;

  struct TopToken {
    std::int64_t id = 0;
    std::string text{};
    double probability = 0;
  };
  /// The k most probable tokens at a position (negative: from the end) of row 0 of logits [batch, pos, vocabulary].
  std::vector<TopToken> top_tokens(const torch::Tensor& logits, std::int64_t k, std::int64_t position = -1) const;
};

/// Reads a Hugging Face folder: config.json, model.safetensors (or its shards, or pytorch_model.bin), tokenizer files.
/// Throws IoError for what is missing or malformed, ModelError for an architecture that is not built in or tensors that
/// are missing, extra or of the wrong shape.
VENE_API LanguageModel load(const std::string& folder, const LoadOptions& options = {});

/// Fills a module of one's own, in place, from a file of named tensors (safetensors, or a PyTorch archive of a state
/// dict): every parameter and buffer by its name. Throws IoError, or ModelError for tensors that are missing, extra or
/// misshapen.
VENE_API void load_parameters(torch::nn::Module& module, const std::string& path);

/// What a checkpoint folder holds, found without running anything.
struct CheckpointInfo {
  std::string folder{}, architecture{};
  std::int64_t parameters = 0, bytes = 0;
  std::vector<std::string> dtypes{};  ///< of its tensors
  std::int64_t layers = 0, width = 0, vocabulary = 0, context = 0;
  std::string tokenizer{};  ///< its kind; empty: none
  std::int64_t tokens = 0;  ///< of the tokenizer
  /// What the weights take while the model runs, as `load` with the same options holds them: bytes, and their type.
  std::int64_t run_bytes = 0;
  std::string run_dtype{};
};
/// Checks a folder as `load` does, names, shapes and types of all tensors, without looking at their values. Throws what
/// `load` throws.
VENE_API CheckpointInfo inspect(const std::string& folder, const LoadOptions& options = {});

}  // namespace vene::models
