// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/pca.h"

#include <torch/types.h>
#include <torch/utils.h>

#include "src/interventions/room.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {

using torch::Tensor;

PCARotatedSpace::PCARotatedSpace(const InterventionSettings& settings)
    : Intervention(settings), standardize_(std::get<bool>(settings.options.at("standardize"))) {
  require_width(settings, "pca_rotated_space");
  const std::int64_t components = settings.low_rank_dimension.value_or(width_);
  if (components > width_) {
    throw ConfigError("low_rank_dimension " + std::to_string(components) + " does not fit a width of " +
                      std::to_string(width_) + "; expected 1 to " + std::to_string(width_));
  }
  detail::need_room("low_rank_dimension", components, width_, 1);
  pca_components = register_buffer("pca_components", torch::zeros({components, width_}));
  pca_mean = register_buffer("pca_mean", torch::zeros({width_}));
  pca_std = register_buffer("pca_std", torch::ones({width_}));
}

Tensor PCARotatedSpace::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  if (!fitted_)
    throw PlanError(
        "pca_rotated_space ran before it was fitted; call fit with collected activations, or load one that was");
  auto rotated = [&](const Tensor& x) { return ((x - pca_mean) / pca_std).matmul(pca_components.t()); };
  const Tensor x = base.to(pca_mean.scalar_type());
  const Tensor swapped =
      swap(rotated(x), rotated(broadcast_source(x, source)), subspace, SwapMode::kInterchange, interchange_dim);
  return (swapped.matmul(pca_components) * pca_std + pca_mean).to(base.scalar_type());
}

void PCARotatedSpace::fit(const Tensor& activations) {
  const torch::NoGradGuard no_grad;
  if (activations.dim() < 2 || activations.size(-1) != width_) {
    throw PlanError("pca_rotated_space: activations of shape " + shape_text(activations.sizes()) +
                    ", expected [rows, " + std::to_string(width_) + "]");
  }
  const Tensor rows = activations.detach().reshape({-1, width_}).to(pca_mean.device(), torch::kFloat64);
  const std::int64_t components = pca_components.size(0);
  if (rows.size(0) < std::max<std::int64_t>(components, 2)) {
    throw PlanError("pca_rotated_space: " + std::to_string(rows.size(0)) + " rows of activations for " +
                    std::to_string(components) + " components; expected at least " +
                    std::to_string(std::max<std::int64_t>(components, 2)));
  }
  if (!rows.isfinite().all().item<bool>())
    throw PlanError("pca_rotated_space: the activations hold values that are not finite numbers");
  const Tensor mean = rows.mean(0);
  Tensor deviation = torch::ones_like(mean);
  if (standardize_) {
    deviation = (rows - mean).pow(2).mean(0).sqrt();
    deviation =
        torch::where(deviation > 0, deviation, torch::ones_like(deviation));  // a constant column stays as it is
  }
  const auto [u, s, vh] = torch::linalg_svd((rows - mean) / deviation, /*full_matrices=*/false);
  Tensor chosen = vh.slice(0, 0, components);
  const Tensor largest = chosen.gather(1, chosen.abs().argmax(1, true));
  chosen = chosen * torch::where(largest < 0, -1.0, 1.0);
  const Tensor variance = s.pow(2);
  explained_variance_ratio = (variance.slice(0, 0, components) / variance.sum().clamp_min(1e-300)).to(torch::kFloat32);
  pca_components.copy_(chosen);
  pca_mean.copy_(mean);
  pca_std.copy_(deviation);
  fitted_ = true;
}

void PCARotatedSpace::restore(const NamedTensors& state, const std::string& where) {
  Intervention::restore(state, where);
  fitted_ = (pca_components != 0).any().item<bool>();
}

NamedTensors PCARotatedSpace::pyvene_state() const {
  throw IoError("pca_rotated_space cannot be written for pyvene, which loads this class from a ready instance only");
}

}  // namespace vene
