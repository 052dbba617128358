// SPDX-License-Identifier: Apache-2.0
#include "vene/base/version.h"

#include "build_info.h"

namespace vene {

BuildInfo build_info() {
  return {VENE_VERSION, VENE_LIBTORCH_VERSION, VENE_LIBTORCH_CUDA, LIBTORCH_HAS_CUDA != 0, VENE_LIBTORCH_ABI != 0};
}

}  // namespace vene
