// SPDX-License-Identifier: Apache-2.0
#include "vene/base/error.h"

#include "src/base/readable.h"

namespace vene {

Error::Error(const std::string& message) : std::runtime_error(readable(message)) {}

}  // namespace vene
