// SPDX-License-Identifier: Apache-2.0
#include "vene/hooks/site.h"

#include <algorithm>

#include "src/base/readable.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/hooks/hook_point.h"

namespace vene {
namespace {

// "h[0].mlp.output" -> "h.0.mlp.output"
std::string plain_path(std::string_view path) {
  std::string plain;
  for (char c : path) {
    if (c == '[') {
      plain += '.';
    } else if (c != ']') {
      plain += c;
    }
  }
  return plain;
}

bool is_path(std::string_view component) {
  return component.find('.') != std::string_view::npos;
}

}  // namespace

void SiteTable::add(Site site) {
  if (!site.component.empty() && try_find(site.component, site.layer) != nullptr) {
    throw ModelError("site '" + site.component + "' of layer " + std::to_string(site.layer) + " is declared twice");
  }
  sites_.push_back(std::move(site));
}

void SiteTable::add_paths(const torch::nn::Module& root) {
  auto add_missing = [this](const std::string& path, SiteId id, Phase phase) {
    const bool covered = std::any_of(sites_.begin(), sites_.end(), [&](const Site& site) { return site.path == path; });
    if (covered) return;
    Site site;
    site.path = path;
    site.id = id;
    site.phase = phase;
    sites_.push_back(std::move(site));
  };
  auto add_module = [&](const std::string& prefix, const torch::nn::Module& module) {
    const auto* hookable = dynamic_cast<const HookSite*>(&module);
    if (hookable == nullptr) return;
    const bool point = dynamic_cast<const HookPointImpl*>(&module) != nullptr;
    if (!point) add_missing(prefix + "input", hookable->site_id(), Phase::kInput);
    add_missing(prefix + "output", hookable->site_id(), Phase::kOutput);
  };
  // The root's own path is empty: it is hooked as plain "input" and "output". It is not asked for its shared pointer,
  // so that a model can call this in its constructor.
  add_module("", root);
  for (const auto& item : root.named_modules("", /*include_self=*/false)) add_module(item.key() + ".", *item.value());
}

const Site* SiteTable::try_find(std::string_view component, std::int64_t layer) const noexcept {
  const bool by_path = is_path(component) || component == "input" || component == "output";
  const std::string path = by_path ? plain_path(component) : std::string();
  for (const Site& site : sites_) {
    if (by_path ? site.path == path : site.component == component && (site.layer == layer || site.layer < 0))
      return &site;
  }
  return nullptr;
}

const Site& SiteTable::find(std::string_view component, std::int64_t layer) const {
  if (const Site* site = try_find(component, layer)) return *site;
  const std::string name(component);
  if (is_path(component)) {
    std::vector<std::string> paths;
    for (const Site& site : sites_) paths.push_back(site.path);
    throw PlanError(
        "no site at path '" + shortened(name) + "'" + name_hint(plain_path(component), paths) +
        (name.ends_with(".input") || name.ends_with(".output") ? "" : "; a path ends in .input or .output"));
  }
  const std::vector<std::string> known = components();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    throw PlanError("this model has no component '" + shortened(name) + "'" + name_hint(name, known));
  }
  std::int64_t last = -1;
  for (const Site& site : sites_) {
    if (site.component == name) last = std::max(last, site.layer);
  }
  throw PlanError("layer " + std::to_string(layer) + " of component '" + name + "' does not exist: layers are 0 to " +
                  std::to_string(last));
}

std::vector<std::string> SiteTable::components() const {
  std::vector<std::string> names;
  for (const Site& site : sites_) {
    if (!site.component.empty() && std::find(names.begin(), names.end(), site.component) == names.end()) {
      names.push_back(site.component);
    }
  }
  return names;
}

std::string axis_name(Axis axis) {
  switch (axis) {
    case Axis::kBatch:
      return "batch";
    case Axis::kPos:
      return "pos";
    case Axis::kHead:
      return "head";
    case Axis::kKey:
      return "key";
    case Axis::kFeature:
      return "feature";
  }
  return "?";
}

std::string site_text(const Site& site) {
  if (site.component.empty()) return site.path;
  if (site.layer < 0) return site.component + " (" + site.path + ")";
  return site.component + " of layer " + std::to_string(site.layer) + " (" + site.path + ")";
}

}  // namespace vene
