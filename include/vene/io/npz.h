// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "vene/base/export.h"
#include "vene/io/safetensors.h"

namespace vene::io {

/// The arrays of a numpy .npz file (savez or savez_compressed), by their names. Bools, integers and floats in either
/// byte order of memory (C or Fortran), little-endian. Throws IoError with the path and the array.
VENE_API NamedTensors read_npz(const std::string& path);

}  // namespace vene::io
