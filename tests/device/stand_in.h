// SPDX-License-Identifier: Apache-2.0
// A device that is none: its memory is the host's, and its kernels are the CPU's. What it does not do is forgive. A CPU
// tensor among a device operation's arguments is an error wherever CUDA makes it one, and whatever crosses between host
// and device, or makes the host wait, is counted. So what would break or crawl on a GPU is seen on a machine without
// one. Linked into a program, it is there as device type HPU.
#pragma once
#include <c10/core/Device.h>

#include <cstdint>

namespace vene_test {

/// The stand-in, device 0.
c10::Device stand_in();

/// What happened on it since the program started. On a GPU the first is cheap, the others make the host wait until the
/// device has done all that was asked of it.
struct DeviceCounts {
  std::int64_t uploads = 0;    ///< copies host to device, CPU index tensors among them
  std::int64_t downloads = 0;  ///< copies device to host
  std::int64_t items = 0;      ///< single numbers read: item(), a comparison's outcome
  std::int64_t waits = 0;      ///< operations whose result's shape or outcome only the values tell: nonzero, equal
  std::int64_t stops() const { return downloads + items + waits; }
};
DeviceCounts device_counts();
/// What happens in a call.
template <class Call>
DeviceCounts counted(Call&& call) {
  const DeviceCounts before = device_counts();
  call();
  const DeviceCounts after = device_counts();
  return {after.uploads - before.uploads, after.downloads - before.downloads, after.items - before.items,
          after.waits - before.waits};
}

}  // namespace vene_test
