// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "vene/interventions/registry.h"

namespace vene_test {

/// An intervention by name with its options' defaults.
inline std::shared_ptr<vene::Intervention> build(const std::string& name, vene::InterventionSettings settings = {}) {
  const vene::InterventionInfo& info = vene::InterventionRegistry::standard().at(name);
  for (const vene::OptionInfo& option : info.options) {
    if (!settings.options.contains(option.name) && option.default_value)
      settings.options[option.name] = *option.default_value;
  }
  return info.build(settings);
}

template <class T>
std::shared_ptr<T> build_as(const std::string& name, vene::InterventionSettings settings = {}) {
  auto built = std::dynamic_pointer_cast<T>(build(name, std::move(settings)));
  TORCH_CHECK(built, name);
  return built;
}

}  // namespace vene_test
