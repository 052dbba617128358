// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "vene/base/export.h"

namespace vene {

/// What this build is made of.
struct BuildInfo {
  std::string version{};           ///< vene's own, such as "0.1.0"
  std::string libtorch_version{};  ///< the LibTorch it was compiled against
  std::string cuda{};              ///< the CUDA version of that LibTorch, or "none"
  bool cuda_linked = false;        ///< whether libtorch_cuda is part of this build
  bool cxx11_abi = false;          ///< the std::string ABI of that LibTorch
};

VENE_API BuildInfo build_info();

}  // namespace vene
