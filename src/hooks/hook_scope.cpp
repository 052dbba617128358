// SPDX-License-Identifier: Apache-2.0
#include "vene/hooks/hook_scope.h"

#include <atomic>
#include <string_view>

#include "src/base/at_place.h"
#include "vene/base/error.h"

namespace vene {
namespace {

thread_local HookScope* current_scope = nullptr;

// Not derived from std::exception, so that a model's own catch clauses don't swallow it.
struct StopForward {};

// Puts the place in front of an error of the library, unless it names it already; its type stays.
[[noreturn]] void rethrow_at(const std::string& place, const Error& error) {
  if (std::string_view(error.what()).find(place) != std::string_view::npos) throw;
  detail::rethrow_at(place, error);
}

}  // namespace

HookSite::HookSite() {
  static std::atomic<SiteId> next{0};
  id_ = next.fetch_add(1, std::memory_order_relaxed);
}

void HookTable::on(SiteId site, Phase phase, Hook hook, std::string label) {
  if (site >= slots_.size()) slots_.resize(site + 1, kNoSlot);
  if (slots_[site] == kNoSlot) {
    slots_[site] = static_cast<std::uint32_t>(places_.size());
    places_.emplace_back();
  }
  Place& place = places_[slots_[site]];
  place.hooks[static_cast<int>(phase)].push_back(std::move(hook));
  if (place.label.empty()) place.label = std::move(label);
}

HookScope::HookScope(const HookTable& table)
    : table_(table), outer_(current_scope), counts_(2 * table.places_.size(), 0) {
  current_scope = this;
}

HookScope::~HookScope() {
  current_scope = outer_;
}

HookScope* HookScope::current() noexcept {
  return current_scope;
}

void HookScope::fire(SiteId site, Phase phase, std::span<torch::Tensor* const> inputs,
                     std::span<torch::Tensor* const> outputs) {
  const std::uint32_t slot = table_.slots_[site];
  const HookTable::Place& place = table_.places_[slot];
  const std::int64_t call = counts_[2 * slot + static_cast<int>(phase)]++;
  const std::vector<Hook>& hooks = place.hooks[static_cast<int>(phase)];
  if (hooks.empty()) return;
  const HookContext context{*this, site, phase, call, inputs, outputs};
  const std::string& label = place.label;
  try {
    if ((phase == Phase::kInput ? inputs : outputs).empty())
      throw Error("the module has no tensor there to read or replace");
    for (const Hook& hook : hooks) hook(context);
  } catch (const Error& error) {
    rethrow_at(label.empty() ? "hook" : label, error);
  } catch (const c10::Error& error) {
    throw Error((label.empty() ? "hook" : label) + ": " + error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw Error((label.empty() ? "hook" : label) + ": " + error.what());
  }
  if (stop_) throw StopForward{};
}

std::int64_t HookScope::fire_count(SiteId site, Phase phase) const noexcept {
  if (!table_.watches(site)) return 0;
  return counts_[2 * table_.slots_[site] + static_cast<int>(phase)];
}

HooksDisabled::HooksDisabled() : outer_(current_scope) {
  current_scope = nullptr;
}
HooksDisabled::~HooksDisabled() {
  current_scope = outer_;
}

bool run_until_stopped(const std::function<void()>& forward) {
  try {
    forward();
    return true;
  } catch (const StopForward&) {
    return false;
  }
}

}  // namespace vene
