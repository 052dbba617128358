// SPDX-License-Identifier: Apache-2.0
// The entry of libFuzzer for one target (VENE_FUZZ_TARGET).
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"
#include "vene/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    vene_fuzz::VENE_FUZZ_TARGET(std::string(reinterpret_cast<const char*>(data), size));
  } catch (const vene::Error&) {
  }
  return 0;
}
