// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "vene/base/export.h"

namespace vene::models {

/// While one lives, this thread's checks of batches on a device (a GPU) look at shapes and types alone, and take it
/// that the values are right, because whoever made it has checked them: to look at a value the host would have to wait
/// for the device. On the CPU looking is free, and nothing changes.
class VENE_API TrustedBatches {
 public:
  TrustedBatches() noexcept;
  ~TrustedBatches();
  TrustedBatches(const TrustedBatches&) = delete;
  TrustedBatches& operator=(const TrustedBatches&) = delete;
  static bool active() noexcept;

 private:
  bool outer_;
};

}  // namespace vene::models
