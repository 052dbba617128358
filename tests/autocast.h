// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <ATen/autocast_mode.h>

namespace vene_test {

/// What runs on this thread's CPU while this lives computes its products in bfloat16.
struct Autocast {
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

}  // namespace vene_test
