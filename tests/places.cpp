// SPDX-License-Identifier: Apache-2.0
#include "tests/places.h"

namespace vene_test {
const char* const kSourceFolder = VENE_SOURCE_DIR;
const char* const kBinaryFolder = VENE_BINARY_DIR;
}  // namespace vene_test
