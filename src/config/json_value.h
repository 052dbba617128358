// SPDX-License-Identifier: Apache-2.0
// Tensors in JSON.
#pragma once
#include <torch/types.h>

#include "src/base/json_reader.h"

namespace vene::detail {

/// A number or a rectangular nested list of numbers as a float32 tensor. Throws ConfigError with the path of what is
/// wrong.
torch::Tensor tensor_from_json(const JsonReader& value);
/// The same of a constant source, which may be "zeros" too: a lone number stands for the whole width.
torch::Tensor constant_from_json(const JsonReader& value);

}  // namespace vene::detail
