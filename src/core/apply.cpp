// SPDX-License-Identifier: Apache-2.0
#include "src/core/apply.h"

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

// [batch, units, width] -> [batch, units * width]; [batch, heads, units, width] -> [batch, units, heads * width].
torch::Tensor flatten_units(const torch::Tensor& value) {
  return value.dim() == 4 ? value.transpose(1, 2).flatten(2) : value.flatten(1);
}

// The same of a source, which may be one row, one unit or one vector for all.
torch::Tensor flatten_source(const torch::Tensor& source, const torch::Tensor& base, std::int64_t width) {
  if (!source.defined() || (source.size(-1) == width && source.dim() < base.dim())) return source;
  return flatten_units(broadcast_source(base, source));
}

torch::Tensor unflatten_units(const torch::Tensor& value, c10::IntArrayRef sizes) {
  if (sizes.size() == 4) return value.reshape({sizes[0], sizes[2], sizes[1], sizes[3]}).transpose(1, 2);
  return value.reshape(sizes);
}

}  // namespace

torch::Tensor widened(torch::Tensor source, const torch::Tensor& base) {
  if (!source.defined() || source.dim() != base.dim()) return source;
  for (std::int64_t dim = 1; dim + 1 < base.dim(); ++dim) {
    const std::int64_t has = source.size(dim), wants = base.size(dim);
    if (has <= 1 || has >= wants) continue;
    std::vector<std::int64_t> more = source.sizes().vec();
    more[static_cast<std::size_t>(dim)] = wants - has;
    source = torch::cat({source, source.narrow(dim, 0, 1).expand(more)}, dim);
  }
  return source;
}

std::int64_t head_axis(const Site& site, Unit unit, bool named, std::int64_t dimensions) {
  if (unit == Unit::kStep) return 0;
  if (named && unit != Unit::kPos) return 1;
  const auto found = std::find(site.axes.begin(), site.axes.end(), Axis::kHead);
  if (site.axes.empty()) return dimensions != 4 ? 0 : named ? 2 : 1;  // four axes of a bare path
  if (found == site.axes.end() || dimensions != static_cast<std::int64_t>(site.axes.size())) return 0;
  return named ? dimensions - 2 : found - site.axes.begin();
}

torch::Tensor apply(Intervention& intervention, const torch::Tensor& base, const torch::Tensor& source,
                    const Subspace& subspace, const Firing& firing, const std::string& where) {
  const FiringGuard serving(firing);
  const c10::impl::ExcludeDispatchKeyGuard own_precision(
      c10::autocast_dispatch_keyset);  // an interchange in rounded products would change what it leaves alone
  const std::int64_t width = intervention.width();
  const bool collects = intervention.traits().collects;
  torch::Tensor result;
  if (width == 0 || base.size(-1) == width) {
    result = intervention.forward(base, source, subspace);
  } else {
    const torch::Tensor flat = base.dim() > 2 ? flatten_units(base) : base;
    if (flat.size(-1) != width) {
      throw PlanError(where + ": the intervention is made for a width of " + std::to_string(width) +
                      " (the site's times max_number_of_units), the value has shape " + shape_text(base.sizes()) +
                      "; set max_number_of_units to the number of " + (base.dim() == 4 ? "heads" : "units"));
    }
    result = intervention.forward(flat, flatten_source(source, base, width), subspace);
    if (result.defined() && !collects) result = unflatten_units(result, base.sizes());
  }
  if (result.defined() && !collects && result.sizes() != base.sizes()) {
    throw PlanError(where + ": the intervention returned shape " + shape_text(result.sizes()) + ", expected " +
                    shape_text(base.sizes()));
  }
  return result;
}

}  // namespace vene::detail
