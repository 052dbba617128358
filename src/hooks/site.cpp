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

torch::Tensor SitePart::of(const torch::Tensor& value) const {
  return value.unflatten(-1, {groups, count, -1}).select(-2, index).flatten(-2);
}

torch::Tensor SitePart::put(const torch::Tensor& value, const torch::Tensor& slice) const {
  std::vector<torch::Tensor> slices = value.unflatten(-1, {groups, count, -1}).unbind(-2);
  slices[static_cast<std::size_t>(index)] = slice.unflatten(-1, {groups, -1});
  return torch::stack(slices, -2).flatten(-3);
}

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
    // A dropout that passes on what it gets has an input in the checkpoint's model.
    const std::string name = prefix.substr(prefix.find_last_of('.', prefix.size() < 2 ? 0 : prefix.size() - 2) + 1);
    const bool dropout = point && name.find("drop") != std::string::npos;
    if (dropout && try_find(prefix + "input", -1) == nullptr) add_alias(prefix + "input", prefix + "output");
  };
  // The root's own path is empty: it is hooked as plain "input" and "output". It is not asked for its shared pointer,
  // so that a model can call this in its constructor.
  add_module("", root);
  for (const auto& item : root.named_modules("", /*include_self=*/false)) add_module(item.key() + ".", *item.value());
}

void SiteTable::add_alias(const std::string& path, const std::string& known) {
  Site site = find(known, -1);
  site.component.clear();
  site.layer = -1;
  site.path = path;
  sites_.push_back(std::move(site));
}

const Site* SiteTable::try_find(std::string_view component, std::int64_t layer) const noexcept {
  const bool by_path = is_path(component) || component == "input" || component == "output";
  const std::string path = by_path ? plain_path(component) : std::string();
  const std::string in_body = by_path && !body_.empty() ? body_ + "." + path : std::string();
  for (const Site& site : sites_) {
    if (by_path ? site.path == path || (!in_body.empty() && site.path == in_body)
                : site.component == component && (site.layer == layer || site.layer < 0))
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
    // pyvene's name of a component that is called otherwise here.
    if (name == "attention_weight" && std::find(known.begin(), known.end(), "attention_pattern") != known.end())
      throw PlanError("this model has no component 'attention_weight'; did you mean 'attention_pattern'?");
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
