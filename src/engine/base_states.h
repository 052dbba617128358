// SPDX-License-Identifier: Apache-2.0
// What lies below and before a row's first write, kept once for every row that starts there. Private to the library.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <map>

#include "vene/locations/gather.h"
#include "vene/models/model.h"

namespace vene::engine {

/// The states of some base rows, as a staged model had them.
struct BaseStates {
  std::map<std::int64_t, torch::Tensor> hidden;  ///< by stage: [rows, pos, width], what goes into it
  models::KeyValueCache past;                    ///< of every stage and position, where the model keeps any
  torch::Tensor attention_mask;                  ///< [rows, pos], or undefined
  torch::Tensor position_ids;                    ///< [rows, pos], or undefined
  std::int64_t positions = 0;
  RowSpans texts;  ///< each row's own columns; empty: no row is padded

  /// Whether positions can be left out because what comes after finds their keys and values.
  bool keeps_past(const models::StagedModel& model) const;
  /// What goes into `stage`, of the rows `picked` (int64) and the positions from `begin` on.
  torch::Tensor entering(std::int64_t stage, const torch::Tensor& picked, std::int64_t begin) const;
  /// A state with the mask and the positions of these rows, and nothing in it yet.
  models::StageState shape(const torch::Tensor& picked, std::int64_t begin) const;
  /// Keys and values before `begin` in the stages [first, last), for the rows `picked`.
  models::KeyValueCache past_of(const torch::Tensor& picked, std::int64_t first, std::int64_t last,
                                std::int64_t begin) const;
};

}  // namespace vene::engine
