// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "vene/base/export.h"

namespace vene::io {

/// The path of a program of this name in the folders of PATH; empty: there is none.
VENE_API std::string find_program(const std::string& name);

/// Runs a program, no shell between, and waits for its end. It reads nothing; what it says on either stream goes to
/// standard error. Returns its exit status, or 128 + the signal that ended it; IoError where it cannot be started.
VENE_API int run_program(const std::string& path, const std::vector<std::string>& arguments);

}  // namespace vene::io
