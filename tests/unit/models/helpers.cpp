// SPDX-License-Identifier: Apache-2.0
#include "helpers.h"

#include <algorithm>
#include <cmath>

#include "tests/places.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace vene_test {

using vene::models::Batch;
using vene::models::GPT2;
using vene::models::GPT2Options;

std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(vene_test::kSourceFolder) / "tests" / "golden" / "models" / name;
}

NamedValues read_values(const std::filesystem::path& file) {
  const vene::io::Safetensors opened = vene::io::Safetensors::open(file.string());
  NamedValues values;
  for (const vene::io::TensorInfo& info : opened.tensors()) values[info.name] = opened.tensor(info.name).clone();
  return values;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(""))) {
    if (std::filesystem::exists(entry.path() / "reference.safetensors"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> golden_language_models() {
  std::vector<std::string> names;
  for (const std::string& name : golden_names()) {
    if (vene::io::Safetensors::open((golden_folder(name) / "reference.safetensors").string()).contains("input_ids"))
      names.push_back(name);
  }
  return names;
}

std::vector<std::string> golden_decoders() {
  std::vector<std::string> names = golden_language_models();
  std::erase_if(names, [](const std::string& name) { return golden_model(name)->reads_ahead(); });
  return names;
}

std::shared_ptr<vene::models::StagedModel> golden_model(const std::string& name) {
  auto model =
      std::dynamic_pointer_cast<vene::models::StagedModel>(vene::models::load(golden_folder(name).string()).model);
  if (!model) throw std::runtime_error(name + " is not a staged model");
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

const std::vector<std::vector<std::int64_t>>& three_rows() {
  static const std::vector<std::vector<std::int64_t>> kRows = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};
  return kRows;
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

torch::Tensor value_at(vene::models::Model& model, const Batch& batch, const std::string& component,
                       std::int64_t layer) {
  const vene::Site& site = model.sites().find(component, layer);
  torch::Tensor value;
  vene::HookTable table;
  table.on(site.id, site.phase, [&](const vene::HookContext& context) { value = context.value().detach().clone(); });
  vene::HookScope scope(table);
  model.forward(batch);
  return value;
}

torch::Tensor output_of(vene::models::Model& model, const Batch& batch) {
  return model.forward(batch).primary();
}

torch::Tensor output_with(vene::models::Model& model, const Batch& batch, const std::string& component,
                          std::int64_t layer, const std::function<torch::Tensor(torch::Tensor)>& change) {
  const vene::Site& site = model.sites().find(component, layer);
  vene::HookTable table;
  table.on(site.id, site.phase, [&](const vene::HookContext& context) { context.value() = change(context.value()); });
  vene::HookScope scope(table);
  return output_of(model, batch);
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
