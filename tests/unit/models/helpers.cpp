// SPDX-License-Identifier: Apache-2.0
#include "helpers.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "vene/io/safetensors.h"

namespace vene_test {
namespace {

using vene::models::Batch;
using vene::models::GPT2;
using vene::models::GPT2Options;

GPT2Options options_from(const std::filesystem::path& folder) {
  const nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "config.json"));
  GPT2Options options;
  options.vocab_size = config.at("vocab_size");
  options.n_positions = config.at("n_positions");
  options.n_embd = config.at("n_embd");
  options.n_layer = config.at("n_layer");
  options.n_head = config.at("n_head");
  options.n_inner = config.at("n_inner").is_null() ? 0 : config.at("n_inner").get<std::int64_t>();
  options.activation_function = config.at("activation_function");
  options.layer_norm_epsilon = config.at("layer_norm_epsilon");
  options.tie_word_embeddings = config.at("tie_word_embeddings");
  options.scale_attn_weights = config.at("scale_attn_weights");
  options.scale_attn_by_inverse_layer_idx = config.at("scale_attn_by_inverse_layer_idx");
  options.language_model_head = config.at("architectures").at(0) == "GPT2LMHeadModel";
  return options;
}

}  // namespace

std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(VENE_SOURCE_DIR) / "tests" / "golden" / "models" / name;
}

NamedValues read_values(const std::filesystem::path& file) {
  const vene::io::Safetensors opened = vene::io::Safetensors::open(file.string());
  NamedValues values;
  for (const vene::io::TensorInfo& info : opened.tensors()) values[info.name] = opened.tensor(info.name).clone();
  return values;
}

std::shared_ptr<GPT2> golden_gpt2(const std::string& name) {
  const std::filesystem::path folder = golden_folder(name);
  const GPT2Options options = options_from(folder);
  auto model = std::make_shared<GPT2>(options);
  NamedValues weights = read_values(folder / "model.safetensors");
  torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    // A checkpoint without a head does not say "transformer.".
    const std::string key =
        options.language_model_head ? item.key() : item.key().substr(std::string("transformer.").size());
    const auto found = weights.find(key);
    if (found == weights.end()) {
      ADD_FAILURE() << "the checkpoint has no " << key;
      continue;
    }
    EXPECT_EQ(item.value().sizes(), found->second.sizes()) << key;
    item.value().copy_(found->second);
    weights.erase(found);
  }
  for (const auto& [key, value] : weights) ADD_FAILURE() << "the model has no " << key;
  return model;
}

std::shared_ptr<GPT2> small_gpt2(std::int64_t seed) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  GPT2Options options;
  options.vocab_size = 60;
  options.n_positions = 24;
  options.n_embd = 16;
  options.n_layer = 3;
  options.n_head = 4;
  auto model = std::make_shared<GPT2>(options);
  torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    const bool norm_weight = item.value().dim() == 1 && item.key().find("weight") != std::string::npos;
    item.value().normal_(norm_weight ? 1.0 : 0.0, 0.25);
  }
  return model;
}

Batch row_of(const std::vector<std::int64_t>& ids) {
  Batch batch;
  batch.input_ids = torch::tensor(ids, torch::kInt64).unsqueeze(0);
  return batch;
}

Batch padded(const std::vector<std::vector<std::int64_t>>& rows, bool left) {
  std::size_t length = 0;
  for (const auto& row : rows) length = std::max(length, row.size());
  Batch batch;
  const auto count = static_cast<std::int64_t>(rows.size()), columns = static_cast<std::int64_t>(length);
  batch.input_ids = torch::zeros({count, columns}, torch::kInt64);
  batch.attention_mask = torch::zeros({count, columns}, torch::kInt64);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& row = rows[static_cast<std::size_t>(i)];
    const auto size = static_cast<std::int64_t>(row.size());
    const std::int64_t begin = left ? columns - size : 0;
    batch.input_ids[i].narrow(0, begin, size).copy_(torch::tensor(row, torch::kInt64));
    batch.attention_mask[i].narrow(0, begin, size).fill_(1);
  }
  return batch;
}

NamedValues values_at_named_sites(vene::models::Model& model, const Batch& batch,
                                  const vene::models::ForwardOptions& options) {
  NamedValues values;
  vene::HookTable table;
  for (const vene::Site& site : model.sites().all()) {
    if (site.component.empty()) continue;
    const std::string name = site.layer < 0 ? site.component : site.component + "." + std::to_string(site.layer);
    table.on(
        site.id, site.phase,
        [&values, name](const vene::HookContext& context) { values[name] = context.value().detach().clone(); }, name);
  }
  vene::HookScope scope(table);
  model.forward(batch, options);
  return values;
}

double relative_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  if (!actual.defined() || !expected.defined() || actual.sizes() != expected.sizes()) {
    ADD_FAILURE() << "shapes differ";
    return 1e30;
  }
  const torch::Tensor a = actual.detach().to(torch::kCPU, torch::kFloat64);
  const torch::Tensor b = expected.detach().to(torch::kCPU, torch::kFloat64);
  const double error = ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item<double>();
  return std::isnan(error) ? 1e30 : error;
}

}  // namespace vene_test
