// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/io/safetensors.h"

namespace vene::io {

/// What the JSON at the head of a safetensors file says.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // by place in the file
  std::map<std::string, std::string> metadata;
  std::size_t data_begin = 0;  // where the data section starts in the file
};

/// The format's names of torch's dtypes; nullopt for those that only one side knows.
std::optional<torch::ScalarType> dtype_from_name(std::string_view name);
std::optional<std::string_view> dtype_name(torch::ScalarType dtype);
/// The place of a dtype in the order in which the reference writer sorts tensors (wider ones first in the file).
int dtype_rank(torch::ScalarType dtype);

/// The number of elements, or nullopt if a size is negative or a product leaves 64 bits.
std::optional<std::int64_t> checked_product(const std::vector<std::int64_t>& shape);

/// Reads and checks the header of a whole file: as strict as the reference reader (which refuses overlaps and holes),
/// with an error for each cause. Throws IoError.
SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view file);

}  // namespace vene::io
