// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/interventions/intervention.h"

namespace vene {

/// One kind of intervention as configs know it.
struct InterventionInfo {
  std::string name{};                 ///< "vanilla"
  std::string doc{};                  ///< one sentence
  std::vector<OptionInfo> options{};  ///< beyond RepresentationConfig's own fields
  std::function<std::shared_ptr<Intervention>(const InterventionSettings&)> build{};
  std::vector<std::string> aliases{};  ///< pyvene's class name, "VanillaIntervention"
};

/// Names to interventions. `standard()` holds the built-in ones and whatever a program adds to it.
class VENE_API InterventionRegistry {
 public:
  static InterventionRegistry& standard();

  /// Throws ConfigError if the name or an alias is taken, or an option is named like a field of RepresentationConfig.
  void add(InterventionInfo info);
  /// By name, alias, or a Python type string "<class 'pyvene.models.interventions.VanillaIntervention'>" (its last
  /// dotted part counts). Throws ConfigError with the nearest names.
  const InterventionInfo& at(std::string_view name) const;
  const InterventionInfo* find(std::string_view name) const noexcept;
  std::vector<std::string> names() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<InterventionInfo>> entries_;
};

/// Every built-in intervention, in one list.
VENE_API void register_builtin_interventions(InterventionRegistry& registry);

}  // namespace vene
