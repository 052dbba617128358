// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "vene/base/export.h"
#include "vene/interventions/intervention.h"
#include "vene/interventions/rotation.h"

namespace vene {

/// Interchange in a learned basis: base + (source - base) W W', over the columns of W that the subspace names. Computed
/// in the rotation's dtype, returned in base's. pyvene's RotatedSpaceIntervention (W square: distributed alignment
/// search) and LowRankRotatedSpaceIntervention (W of `low_rank_dimension` columns; interchange_dim has no say).
class VENE_API RotatedSpace : public Intervention {
 public:
  RotatedSpace(const InterventionSettings& settings, bool low_rank);
  Traits traits() const override { return {.trainable = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;
  std::int64_t subspace_width(std::int64_t) const override { return rotation->rank(); }
  void restore(const NamedTensors& state, const std::string& where) override;
  NamedTensors pyvene_state() const override;

  Rotation rotation{nullptr};  ///< "rotate_layer"

 protected:
  /// base + ((source - base) W * weights) W'; weights undefined: ones.
  static torch::Tensor mixed(const torch::Tensor& base, const torch::Tensor& source, const torch::Tensor& w,
                             const torch::Tensor& weights);
  /// The same with the rotation's W and these weights [width], within the subspace.
  torch::Tensor weighed(const torch::Tensor& base, const torch::Tensor& source, const torch::Tensor& weights,
                        const Subspace& subspace) const;
};

/// As RotatedSpace with a soft count of columns: column p takes part with sigmoid(p / T) sigmoid((c n - p) / T), c the
/// learned boundary in [0.001, 1] and T the temperature (a constant, set on a schedule). pyvene's
/// BoundlessRotatedSpaceIntervention.
class VENE_API BoundlessRotatedSpace : public RotatedSpace {
 public:
  explicit BoundlessRotatedSpace(const InterventionSettings& settings);
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;
  NamedTensors pyvene_state() const override;
  /// [width], how far each column takes part.
  torch::Tensor mask() const;

  torch::Tensor intervention_boundaries;  ///< [1], parameter
  torch::Tensor temperature;              ///< scalar, buffer
};

/// As RotatedSpace with a learned mask sigmoid(masks / T) over its columns. pyvene's
/// SigmoidMaskRotatedSpaceIntervention.
class VENE_API SigmoidMaskRotatedSpace : public RotatedSpace {
 public:
  explicit SigmoidMaskRotatedSpace(const InterventionSettings& settings);
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;

  torch::Tensor masks;        ///< [width], parameter
  torch::Tensor temperature;  ///< scalar, buffer
};

/// Interchange along single learned directions: base + sum of ((source - base).w) w over the directions w, each of
/// length one, that the subspace names, for each row its own. So one intervention holds a direction for each of many
/// questions, and one batch asks all of them. Directions of the same row are taken as they are, not made orthogonal to
/// each other.
class VENE_API Directions : public Intervention {
 public:
  explicit Directions(const InterventionSettings& settings);
  Traits traits() const override { return {.trainable = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;
  std::int64_t subspace_width(std::int64_t) const override { return directions.size(0); }

  torch::Tensor directions;  ///< [count, width], parameter; rows of any length but 0
};

/// A learned mask sigmoid(mask / T) over the value's own columns. pyvene's SigmoidMaskIntervention.
class VENE_API SigmoidMask : public Intervention {
 public:
  explicit SigmoidMask(const InterventionSettings& settings);
  Traits traits() const override { return {.trainable = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;

  torch::Tensor mask;         ///< [width], parameter
  torch::Tensor temperature;  ///< scalar, buffer
};

}  // namespace vene
