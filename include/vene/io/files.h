// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

#include "vene/base/export.h"

namespace vene::io {

/// A whole file as bytes; pipes and devices are read to their end. IoError with the path and the system's reason.
VENE_API std::string read_file(const std::string& path);

/// Writes a file atomically: temporary name in the same folder, flushed to disk, renamed. IoError with the path and the
/// system's reason; then nothing is left behind and an older file is as it was. A device or a pipe is written straight.
VENE_API void write_file(const std::string& path, std::string_view content);

/// Makes a folder and its parents, and checks that it can be written to. IoError otherwise.
VENE_API void make_folder(const std::string& path);

}  // namespace vene::io
