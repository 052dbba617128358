// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "vene/base/export.h"
#include "vene/interventions/intervention.h"

namespace vene {

/// Interchange along principal components: z = (x - mean) / std C', the source's z over the base's on the subspace, and
/// back. What lies outside the components is the mean's, for the base too. pyvene's PCARotatedSpaceIntervention.
/// `low_rank_dimension` is the number of components, all of them without it.
class VENE_API PCARotatedSpace : public Intervention {
 public:
  explicit PCARotatedSpace(const InterventionSettings& settings);
  Traits traits() const override { return {}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;
  std::int64_t subspace_width(std::int64_t) const override { return pca_components.size(0); }
  void restore(const NamedTensors& state, const std::string& where) override;
  NamedTensors pyvene_state() const override;

  /// Learns mean, standard deviation (with option `standardize`, else 1) and components from collected activations
  /// [..., width]. The sign of a component is such that its largest entry is positive. PlanError for fewer rows than
  /// components, or another width.
  void fit(const torch::Tensor& activations);
  /// Share of the (standardised) variance that each component explains, of the last fit: [components].
  torch::Tensor explained_variance_ratio;

  torch::Tensor pca_components;  ///< [components, width], buffer
  torch::Tensor pca_mean;        ///< [width], buffer
  torch::Tensor pca_std;         ///< [width], buffer

 private:
  bool standardize_;
  bool fitted_ = false;
};

}  // namespace vene
