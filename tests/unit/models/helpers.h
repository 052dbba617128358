// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <functional>
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
/// Every folder of tests/golden/models, those of language models, and those of the ones among them that go on writing,
/// by name.
std::vector<std::string> golden_names();
std::vector<std::string> golden_language_models();
std::vector<std::string> golden_decoders();
/// Every tensor of a safetensors file.
NamedValues read_values(const std::filesystem::path& file);

/// The model of a golden folder, as the loader makes it.
std::shared_ptr<vene::models::StagedModel> golden_model(const std::string& name);
/// A GPT-2 of 3 layers, 16 wide, 4 heads, vocabulary 60, context 24, with seeded weights that make attention sharp.
std::shared_ptr<vene::models::GPT2> small_gpt2(std::int64_t seed = 0);

/// A row of token ids as a batch: [1, pos].
vene::models::Batch row_of(const std::vector<std::int64_t>& ids);
/// Rows padded to one length with their mask, at the left or at the right.
vene::models::Batch padded(const std::vector<std::vector<std::int64_t>>& rows, bool left);
/// Three rows of 6, 3 and 4 tokens below 60.
const std::vector<std::vector<std::int64_t>>& three_rows();

/// What a model's named sites hold in a forward, by "<component>" or "<component>.<layer>".
NamedValues values_at_named_sites(vene::models::Model& model, const vene::models::Batch& batch,
                                  const vene::models::ForwardOptions& options = {});
/// Reads one site and leaves the rest alone.
torch::Tensor value_at(vene::models::Model& model, const vene::models::Batch& batch, const std::string& component,
                       std::int64_t layer);
/// The primary output, and the same with a site's value replaced by change(value).
torch::Tensor output_of(vene::models::Model& model, const vene::models::Batch& batch);
torch::Tensor output_with(vene::models::Model& model, const vene::models::Batch& batch, const std::string& component,
                          std::int64_t layer, const std::function<torch::Tensor(torch::Tensor)>& change);

/// Largest difference over the largest expected magnitude.
double relative_error(const torch::Tensor& actual, const torch::Tensor& expected);

/// Runs `call` and returns the message of the error that it must throw.
template <class Error, class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return {};
  }
  ADD_FAILURE() << "expected an error";
  return {};
}
template <class Call>
std::string model_error(Call&& call) {
  return error_of<vene::ModelError>(std::forward<Call>(call));
}

}  // namespace vene_test
