// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "vene/hooks/site.h"

namespace vene::models {

/// Declares the named sites of a port, one line each. `path` ends in ".input" or ".output" and so tells the phase; the
/// stage of a site in a layer is that layer.
class SiteDeclarer {
 public:
  explicit SiteDeclarer(SiteTable& sites) : sites_(sites) {}

  /// A value [batch, pos, width].
  void value(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
             std::int64_t width) const {
    value(component, layer, path, place, width, layer);
  }
  void value(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
             std::int64_t width, std::int64_t stage) const {
    add(component, layer, path, place, {Axis::kBatch, Axis::kPos, Axis::kFeature}, width, 0, false, stage);
  }
  /// A value [batch, pos, width] that holds `heads` heads side by side: declared whole, and as "head_<component>".
  void heads(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
             std::int64_t width, std::int64_t heads, const std::optional<SitePart>& part = {}) const {
    add(component, layer, path, place, {Axis::kBatch, Axis::kPos, Axis::kFeature}, width, 0, false, layer,
        CallOrder::kUnknown, part);
    add("head_" + component, layer, path, place, {Axis::kBatch, Axis::kPos, Axis::kHead, Axis::kFeature}, width / heads,
        heads, true, layer, CallOrder::kUnknown, part);
  }
  /// A value [batch, width] of a recurrent cell, made once a position.
  void step(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
            std::int64_t width, const std::optional<SitePart>& part = {}) const {
    add(component, layer, path, place, {Axis::kBatch, Axis::kFeature}, width, 0, false, layer, CallOrder::kPositions,
        part);
  }
  /// A value [batch, width] made once a run.
  void row(const std::string& component, const std::string& path, const HookSite& place, std::int64_t width,
           std::int64_t stage) const {
    add(component, -1, path, place, {Axis::kBatch, Axis::kFeature}, width, 0, false, stage);
  }
  /// A value [batch, heads, pos, key].
  void scores(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
              std::int64_t heads) const {
    add(component, layer, path, place, {Axis::kBatch, Axis::kHead, Axis::kPos, Axis::kKey}, 0, heads, false, layer);
  }

 private:
  void add(const std::string& component, std::int64_t layer, const std::string& path, const HookSite& place,
           std::vector<Axis> axes, std::int64_t width, std::int64_t heads, bool packed, std::int64_t stage,
           CallOrder calls = CallOrder::kUnknown, const std::optional<SitePart>& part = {}) const {
    Site site;
    site.component = component;
    site.layer = layer;
    site.path = path;
    site.id = place.site_id();
    site.phase = path.ends_with(".input") ? Phase::kInput : Phase::kOutput;
    site.axes = std::move(axes);
    site.width = width;
    site.heads = heads;
    site.packed_heads = packed;
    site.stage = stage;
    site.calls = calls;
    site.part = part;
    sites_.add(std::move(site));
  }

  SiteTable& sites_;
};

}  // namespace vene::models
