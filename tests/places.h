// SPDX-License-Identifier: Apache-2.0
// Where the checkout and its build lie. In one source, so that a test's object is the same in every checkout.
#pragma once

namespace vene_test {
extern const char* const kSourceFolder;
extern const char* const kBinaryFolder;
}  // namespace vene_test
