// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "vene/base/export.h"

namespace vene::io {

/// Directions to add to the output of a model's blocks, as llama.cpp's --control-vector and repeng keep them in GGUF
/// files: tensors "direction.<layer>" with "general.architecture" = "controlvector".
struct ControlVector {
  std::string model_hint{};                            ///< the model's architecture, "gpt2"; may be empty
  std::map<std::int64_t, torch::Tensor> directions{};  ///< by layer: [width], float32, all of one width
};

/// Reads a GGUF control vector (version 2 or 3, little-endian; F32 or F16 tensors). Nothing in the file is trusted:
/// throws IoError, saying what and where, for anything cut, damaged or of another kind.
VENE_API ControlVector read_control_vector(const std::string& path);

/// Writes one atomically, version 3. llama.cpp has no use for layer 0, so a direction there is refused, as are none at
/// all and different widths.
VENE_API void write_control_vector(const std::string& path, const ControlVector& vector);

}  // namespace vene::io
