// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "vene/base/export.h"
#include "vene/interventions/intervention.h"

namespace vene {

/// How free parameters become an orthogonal matrix. All three leave it orthogonal at any step size; they differ in cost
/// and in the path that an optimiser takes.
enum class RotationMap : std::uint8_t { kHouseholder, kMatrixExponential, kCayley };

/// "householder", "matrix_exponential", "cayley"; ConfigError with the nearest name otherwise. "auto" is the fastest
/// for these sizes.
VENE_API RotationMap parse_rotation_map(std::string_view name, std::int64_t width, std::int64_t rank);

/// While one lives, this thread's new rotations leave their start open, whose factorisation takes long for a wide
/// matrix: what is saved is put in before they are used. Random numbers are drawn all the same.
class VENE_API OpenRotations {
 public:
  OpenRotations() noexcept;
  ~OpenRotations();
  OpenRotations(const OpenRotations&) = delete;
  OpenRotations& operator=(const OpenRotations&) = delete;

 private:
  bool outer_;
};

/// A trained matrix W of shape [width, rank] with orthonormal columns: W = B Q(X), where B is a constant orthogonal
/// matrix, X the parameter of shape [width, rank] and Q the map. With L the part of X below its diagonal and E the
/// first columns of the identity,
///   matrix exponential  Q = exp(L E' - E L') E
///   Cayley              Q = (I - A/2)^-1 (I + A/2) E,  A = L E' - E L'
///   Householder         Q = -H_0 H_1 ... H_rank-1 E,   H_j = I - 2 v v' / v'v,  v = E's and L's columns j together
/// so that a fresh X (minus the identity) gives W = B E under each. The diagonal of X has no meaning, whatever weight
/// decay makes of it. Where rank < width nothing of size width x width is formed: B is kept as `rank` reflectors. Names
/// and meaning of the tensors are those of torch's orthogonal parametrisation as pyvene saves it; its square B is taken
/// as it is.
class VENE_API RotationImpl : public torch::nn::Module {
 public:
  /// A random start: a normal draw [width, rank] made orthogonal, as torch.nn.init.orthogonal_ does.
  /// @param seed  -1: drawn from LibTorch's global generator
  RotationImpl(std::int64_t width, std::int64_t rank, RotationMap map, std::int64_t seed = -1);

  /// W, differentiable in X.
  torch::Tensor weight() const;
  /// Starts over from this matrix [width, rank], made orthogonal if it is not. PlanError for another shape.
  void set_weight(const torch::Tensor& weight);
  std::int64_t width() const { return width_; }
  std::int64_t rank() const { return rank_; }
  RotationMap map() const { return map_; }
  /// B, [width, width].
  torch::Tensor dense_base() const;

  /// Makes ready for these tensors, named as in the intervention's state with `prefix`: takes over their map and the
  /// form of their B.
  void expect(const NamedTensors& state, const std::string& prefix, const std::string& where);

 private:
  torch::Tensor coordinates() const;  // Q
  torch::Tensor from_base(const torch::Tensor& coordinates) const;
  void set_base(const torch::Tensor& start);

  std::int64_t width_, rank_;
  RotationMap map_;
  torch::Tensor original_;  // X
  torch::Tensor base_;      // B, or where rank < width [width, rank]: reflectors below the diagonal, signs on it
  torch::Tensor code_;      // the map, so that the tensors say what they mean
};
TORCH_MODULE(Rotation);

}  // namespace vene
