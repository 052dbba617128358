// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/hooks/hook_site.h"

namespace vene {

/// What a dimension of a value at a site runs over.
enum class Axis : std::uint8_t { kBatch, kPos, kHead, kKey, kFeature };

/// How the calls of a site that fires many times a run (unit "t") relate to the positions of the batch.
enum class CallOrder : std::uint8_t {
  kUnknown,            ///< step k is the module's call k
  kPositions,          ///< one call a position, from the first; a row's step 0 is its first unpadded position
  kPositionsBackward,  ///< one call a position, from the last; a row's step 0 is its last unpadded position
};

/// That a site's value is a slice of another's, as the queries are of a projection that makes queries, keys and values:
/// of the other's last axis, seen as [groups, count, width / (groups * count)], entry `index` of every group.
struct SitePart {
  SiteId whole = 0;  ///< the other site
  Phase phase = Phase::kOutput;
  std::int64_t index = 0, count = 1, groups = 1;

  /// The slice [..., width / count] of the other site's value, and that value with it replaced, out of place.
  VENE_API torch::Tensor of(const torch::Tensor& value) const;
  VENE_API torch::Tensor put(const torch::Tensor& value, const torch::Tensor& slice) const;
};

/// One named place in a model.
struct Site {
  std::string component{};  ///< "block_output"; empty for a place that has a path only
  std::int64_t layer = -1;  ///< -1 for places outside the layers: embedding, final_norm, logits
  std::string path{};       ///< "transformer.h.3.output": module path and ".input" or ".output"
  SiteId id = 0;
  Phase phase = Phase::kOutput;
  std::vector<Axis> axes{};   ///< of the value; the last is the feature (or key) axis; empty: unknown (a bare path)
  std::int64_t width = 0;     ///< size of the last axis (of one head where a head axis is packed); 0: unknown
  std::int64_t heads = 0;     ///< size of the head axis; 0 without one
  bool packed_heads = false;  ///< the tensor holds [..., heads * width]; the head axis is to be split off
  std::int64_t stage = -1;    ///< index of the stage that makes it: -1 before the first block, L after the last
  CallOrder calls = CallOrder::kUnknown;  ///< of a recurrent cell's values
  std::optional<SitePart> part{};         ///< set: the value is cut from another site's
};

/// Every site of a model, found by component name and layer, or by path.
class VENE_API SiteTable {
 public:
  /// Adds a site. The same component and layer, or the same path with the same component, twice is an error.
  void add(Site site);
  /// Adds every HookSite below `root` that no named site covers, as "<path>.input" and "<path>.output" (only the latter
  /// at a HookPoint, but of a dropout by its name both, the same value); of unknown axes.
  void add_paths(const torch::nn::Module& root);
  /// Another path of the value at a path; PlanError where that is not known.
  void add_alias(const std::string& path, const std::string& known);
  /// The model is one that checkpoints name without this module in front: "h.0.output" finds "transformer.h.0.output".
  void set_body(std::string path) { body_ = std::move(path); }

  /// `component` is a component name ("mlp_output", with its layer) or a path ending in ".input" or ".output";
  /// "transformer.h[0].mlp.output" and "transformer.h.0.mlp.output" are the same. Throws PlanError with the nearest
  /// names.
  const Site& find(std::string_view component, std::int64_t layer) const;
  const Site* try_find(std::string_view component, std::int64_t layer) const noexcept;

  const std::vector<Site>& all() const noexcept { return sites_; }
  /// Component names without repeats, in order of first mention.
  std::vector<std::string> components() const;

 private:
  std::vector<Site> sites_;
  std::string body_;
};

/// "pos", "head" ...
VENE_API std::string axis_name(Axis axis);
/// "block_output of layer 3 (transformer.h.3.output)": a site in an error message.
VENE_API std::string site_text(const Site& site);

}  // namespace vene
