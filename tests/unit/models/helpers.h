// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"
#include "vene/models/gpt2.h"
#include "vene/models/model.h"

namespace vene_test {

using NamedValues = std::map<std::string, torch::Tensor>;

/// tests/golden/models/<name>
std::filesystem::path golden_folder(const std::string& name);
/// Every tensor of a safetensors file.
NamedValues read_values(const std::filesystem::path& file);

/// A GPT-2 with the sizes and weights of a golden folder. Fails the test unless the file's names are the model's.
std::shared_ptr<vene::models::GPT2> golden_gpt2(const std::string& name);
/// A GPT-2 of 3 layers, 16 wide, 4 heads, vocabulary 60, context 24, with seeded weights that make attention sharp.
std::shared_ptr<vene::models::GPT2> small_gpt2(std::int64_t seed = 0);

/// A row of token ids as a batch: [1, pos].
vene::models::Batch row_of(const std::vector<std::int64_t>& ids);
/// Rows padded to one length with their mask, at the left or at the right.
vene::models::Batch padded(const std::vector<std::vector<std::int64_t>>& rows, bool left);

/// What a model's named sites hold in a forward, by "<component>" or "<component>.<layer>".
NamedValues values_at_named_sites(vene::models::Model& model, const vene::models::Batch& batch,
                                  const vene::models::ForwardOptions& options = {});

/// Largest difference over the largest expected magnitude.
double relative_error(const torch::Tensor& actual, const torch::Tensor& expected);

/// Runs `call` and returns the message of the ModelError that it must throw.
template <class Call>
std::string model_error(Call&& call) {
  try {
    call();
  } catch (const vene::ModelError& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected a ModelError";
  return {};
}

}  // namespace vene_test
