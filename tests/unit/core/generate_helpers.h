// SPDX-License-Identifier: Apache-2.0
// What the tests of generation share.
#pragma once
#include <gmock/gmock.h>

#include "tests/unit/models/helpers.h"
#include "vene/base/error.h"
#include "vene/core/intervenable_model.h"
#include "vene/models/llama.h"

namespace vene_test {

inline const std::vector<std::vector<std::int64_t>> kPrompts = {{5, 9, 31, 2, 44, 17}, {8, 3, 27}, {50, 50, 1, 12}};
inline const std::vector<std::vector<std::int64_t>> kSourcePrompts = {{7, 7, 19}, {33, 4, 2, 58, 6}, {21, 11, 40, 3}};

inline vene::models::Batch prompts_of(const std::vector<std::vector<std::int64_t>>& rows, bool left = false) {
  return rows.size() == 1 ? row_of(rows[0]) : padded(rows, left);
}

inline std::shared_ptr<vene::models::Llama> small_llama(std::int64_t seed = 0) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  vene::models::LlamaOptions options;
  options.vocab_size = 60;
  options.hidden_size = 16;
  options.intermediate_size = 24;
  options.num_hidden_layers = 3;
  options.num_attention_heads = 4;
  options.num_key_value_heads = 2;
  options.max_position_embeddings = 24;
  auto model = std::make_shared<vene::models::Llama>(options);
  torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) item.value().normal_(item.value().dim() == 1 ? 1.0 : 0.0, 0.25);
  return model;
}

/// Each prompt continued by asking `next_logits` for the whole row every time: what a generation must equal.
inline std::vector<std::vector<std::int64_t>> continued(
    const std::vector<std::vector<std::int64_t>>& prompts, std::int64_t new_tokens,
    const std::function<torch::Tensor(std::size_t, const std::vector<std::int64_t>&)>& next_logits) {
  std::vector<std::vector<std::int64_t>> rows = prompts;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::int64_t i = 0; i < new_tokens; ++i)
      rows[row].push_back(next_logits(row, rows[row]).argmax().item<std::int64_t>());
  }
  return rows;
}

inline std::vector<std::vector<std::int64_t>> ids_of(const vene::Generated& generated) {
  std::vector<std::vector<std::int64_t>> rows;
  for (const auto& row : generated.rows) rows.push_back(row.ids);
  return rows;
}

}  // namespace vene_test
