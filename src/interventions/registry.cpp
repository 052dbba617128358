// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/registry.h"

#include <algorithm>

#include "src/base/readable.h"
#include "src/interventions/field_names.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

// "<class 'pyvene.models.interventions.VanillaIntervention'>" -> "VanillaIntervention"
std::string_view plain_name(std::string_view name) {
  constexpr std::string_view kOpen = "<class '";
  if (name.starts_with(kOpen) && name.ends_with("'>")) name = name.substr(kOpen.size(), name.size() - kOpen.size() - 2);
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool answers_to(const InterventionInfo& info, std::string_view name) {
  return info.name == name || std::find(info.aliases.begin(), info.aliases.end(), name) != info.aliases.end();
}

}  // namespace

InterventionRegistry& InterventionRegistry::standard() {
  static InterventionRegistry registry;
  static std::once_flag once;
  std::call_once(once, [] { register_builtin_interventions(registry); });
  return registry;
}

void InterventionRegistry::add(InterventionInfo info) {
  if (info.name.empty() || !info.build) throw ConfigError("an intervention needs a name and a build function");
  for (const OptionInfo& option : info.options) {
    if (detail::is_field_name(option.name)) {
      throw ConfigError("intervention '" + info.name + "': option '" + option.name +
                        "' is named like a field of RepresentationConfig");
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> all = info.aliases;
  all.push_back(info.name);
  for (const auto& entry : entries_) {
    for (const std::string& name : all) {
      if (answers_to(*entry, name)) throw ConfigError("intervention '" + name + "' is registered already");
    }
  }
  entries_.push_back(std::make_unique<InterventionInfo>(std::move(info)));
}

const InterventionInfo* InterventionRegistry::find(std::string_view name) const noexcept {
  const std::string_view plain = plain_name(name);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& entry : entries_) {
    if (answers_to(*entry, plain)) return entry.get();
  }
  return nullptr;
}

const InterventionInfo& InterventionRegistry::at(std::string_view name) const {
  if (const InterventionInfo* info = find(name)) return *info;
  throw ConfigError("unknown intervention type '" + shortened(name) + "'" + name_hint(plain_name(name), names()));
}

std::vector<std::string> InterventionRegistry::names() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry->name);
  return names;
}

}  // namespace vene
