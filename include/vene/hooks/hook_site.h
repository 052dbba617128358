// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "vene/base/export.h"

namespace vene {

/// Identity of a place in a model where a value can be read or replaced. Dense and unique in the process.
using SiteId = std::uint32_t;

/// Which side of a module a hook looks at.
enum class Phase : std::uint8_t { kInput, kOutput };

/// Base class of everything that can be hooked: `dynamic_cast<HookSite*>(module)` tells whether a module can.
/// A copied or cloned module is a new place; assignment keeps a place's identity.
class VENE_API HookSite {
 public:
  HookSite();
  HookSite(const HookSite&) : HookSite() {}
  HookSite& operator=(const HookSite&) { return *this; }
  virtual ~HookSite() = default;

  SiteId site_id() const noexcept { return id_; }

 private:
  SiteId id_;
};

}  // namespace vene
