// SPDX-License-Identifier: Apache-2.0
#include "vene/hooks/site_pattern.h"

#include <algorithm>

#include "src/base/readable.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

// Whether '*'s of the pattern can be filled so that it is the name.
bool fits(std::string_view pattern, std::string_view name) {
  std::size_t at = 0, next = 0, star = std::string_view::npos, from = 0;
  while (next < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      from = next;
    } else if (at < pattern.size() && pattern[at] == name[next]) {
      ++at;
      ++next;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      next = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

bool has_layers(const SiteTable& table, std::string_view component) {
  return std::any_of(table.all().begin(), table.all().end(),
                     [&](const Site& site) { return site.component == component && site.layer >= 0; });
}

void order_by_layer(std::vector<Site>& sites) {
  std::stable_sort(sites.begin(), sites.end(), [](const Site& a, const Site& b) { return a.stage < b.stage; });
}

}  // namespace

bool is_site_pattern(std::string_view component) {
  return component.find('*') != std::string_view::npos;
}

std::vector<Site> sites_matching(const SiteTable& table, std::string_view component,
                                 const std::optional<std::vector<std::int64_t>>& layers) {
  const bool pattern = is_site_pattern(component), path = component.find('.') != std::string_view::npos;
  if (!pattern && !has_layers(table, component)) {
    Site site = table.find(component, -1);
    if (path) site.component.clear();
    return {site};
  }
  std::vector<Site> found;
  for (const Site& site : table.all()) {
    const bool meant = path ? fits(component, site.path) : !site.component.empty() && fits(component, site.component);
    if (!meant) continue;
    const bool known = std::any_of(found.begin(), found.end(), [&](const Site& other) {
      return other.id == site.id && other.phase == site.phase && (pattern || other.layer == site.layer);
    });
    if (known) continue;
    found.push_back(site);
    if (path) found.back().component.clear();
  }
  if (found.empty()) {
    throw PlanError((path ? "no path of this model fits '" : "no component of this model fits '") +
                    shortened(std::string(component)) + "'" + (path ? "" : name_hint(component, table.components())));
  }
  if (layers && !path) {
    std::vector<Site> chosen;
    for (const std::int64_t layer : *layers) {
      const std::size_t before = chosen.size();
      for (const Site& site : found) {
        if (site.layer == layer) chosen.push_back(site);
      }
      const bool any_layers = std::any_of(found.begin(), found.end(), [](const Site& site) { return site.layer >= 0; });
      if (chosen.size() > before || !any_layers) continue;
      if (!pattern) (void)table.find(component, layer);  // which says what there is
      std::int64_t last = -1;
      for (const Site& site : found) last = std::max(last, site.layer);
      throw PlanError("layer " + std::to_string(layer) + " of components that fit '" + std::string(component) +
                      "' does not exist: layers are 0 to " + std::to_string(last));
    }
    for (const Site& site : found) {
      if (site.layer < 0) chosen.push_back(site);
    }
    found = std::move(chosen);
  }
  if (!path) order_by_layer(found);
  return found;
}

}  // namespace vene
