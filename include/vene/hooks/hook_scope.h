// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/hook_site.h"

namespace vene {

class HookScope;

/// What a hook sees of one firing. It lives for that firing only.
struct HookContext {
  HookScope& scope;
  SiteId site{};
  Phase phase{};
  std::int64_t call = 0;  ///< 0, 1, 2 ... in this scope: a GRU cell's time step, a decoding step
  /// The tensors among the module's arguments, in order; empty at a HookPoint
  std::span<torch::Tensor* const> inputs{};
  std::span<torch::Tensor* const> outputs{};  ///< the tensors of its result, in order; empty in phase input

  /// The value that the phase is about: the first input or the first output. Replace it by assignment, never in place.
  torch::Tensor& value() const { return phase == Phase::kInput ? *inputs[0] : *outputs[0]; }
};

using Hook = std::function<void(const HookContext&)>;

/// Which hooks run where. Filled once, constant while it is in use, shared by any number of scopes and threads.
class VENE_API HookTable {
 public:
  /// Adds a hook; several on one site and phase run in the order they were added. `label` names the place in errors.
  void on(SiteId site, Phase phase, Hook hook, std::string label = {});
  bool watches(SiteId site) const noexcept { return site < slots_.size() && slots_[site] != kNoSlot; }
  bool empty() const noexcept { return places_.empty(); }

 private:
  friend class HookScope;
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};
  struct Place {
    std::vector<Hook> hooks[2];  // by phase
    std::string label{};
  };
  std::vector<std::uint32_t> slots_;  // site id -> index into places_
  std::vector<Place> places_;
};

/// While it lives, the hooks of a table run on this thread, and no others: an inner scope hides the outer one. What it
/// counts, and what hooks keep in it by deriving, ends with it. Not copyable, not movable, like NoGradGuard.
class VENE_API HookScope {
 public:
  explicit HookScope(const HookTable& table);
  virtual ~HookScope();
  HookScope(const HookScope&) = delete;
  HookScope& operator=(const HookScope&) = delete;

  /// The innermost scope of this thread, or nullptr.
  static HookScope* current() noexcept;

  bool watches(SiteId site) const noexcept { return table_.watches(site); }
  /// Runs the hooks of one site and phase. An exception of a hook is rethrown with the site's label in front.
  void fire(SiteId site, Phase phase, std::span<torch::Tensor* const> inputs, std::span<torch::Tensor* const> outputs);
  /// How often a site's phase has been reached in this scope.
  std::int64_t fire_count(SiteId site, Phase phase) const noexcept;
  /// Called by a hook: ends the forward once the hooks of this firing are done. Only inside `run_until_stopped`.
  void stop() noexcept { stop_ = true; }

 private:
  const HookTable& table_;
  HookScope* outer_;
  bool stop_ = false;
  std::vector<std::int64_t> counts_;  // two a place: input, output
};

/// Hides every scope while it lives: a forward inside runs as if nothing were hooked.
class VENE_API HooksDisabled {
 public:
  HooksDisabled();
  ~HooksDisabled();
  HooksDisabled(const HooksDisabled&) = delete;
  HooksDisabled& operator=(const HooksDisabled&) = delete;

 private:
  HookScope* outer_;
};

/// Runs `forward`; returns false when a hook ended it early with `HookScope::stop()`.
VENE_API bool run_until_stopped(const std::function<void()>& forward);

}  // namespace vene
