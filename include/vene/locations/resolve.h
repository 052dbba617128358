// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/site.h"
#include "vene/locations/locations.h"
#include "vene/text/tokenizer.h"

namespace vene {

/// What a location addresses: "pos", "h", "h.pos", "t".
enum class Unit : std::uint8_t { kPos, kHead, kHeadPos, kStep };
/// ConfigError with the nearest name.
VENE_API Unit parse_unit(std::string_view name, const std::string& where);

/// The rows that names and indices are resolved against.
struct VENE_API RowTexts {
  std::int64_t rows = 0;
  std::int64_t positions = 0;                  ///< width of the batch, padding included
  std::vector<std::int64_t> begin{}, end{};    ///< each row's unpadded text, as columns of the batch
  torch::Tensor input_ids{};                   ///< [rows, positions] on the CPU, or undefined
  const text::Tokenizer* tokenizer = nullptr;  ///< needed for {"token": ...}

  /// Whether any row has padding.
  bool padded() const;
  /// From a batch's ids and mask (either may be undefined).
  static RowTexts of(const torch::Tensor& primary, const torch::Tensor& attention_mask, const torch::Tensor& input_ids,
                     const text::Tokenizer* tokenizer);
};

/// Units picked along one axis, row by row, as plain indices of that axis. One entry: for every row.
using AxisIndices = std::vector<std::vector<std::int64_t>>;

/// Positions of each row as columns of the batch. Throws LocationError (out of range, token not found, wrong number of
/// rows), with `where` in front.
VENE_API AxisIndices resolve_positions(const AxisSelection& selection, const RowTexts& texts, const std::string& where);
/// Heads or steps: indices below `size`, or below no limit when it is 0 (steps are not known before a run).
VENE_API AxisIndices resolve_axis(const AxisSelection& selection, std::int64_t rows, std::int64_t size, Axis axis,
                                  const std::string& where);

}  // namespace vene
