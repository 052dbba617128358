// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/rotated.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <any>
#include <optional>

#include "src/interventions/room.h"
#include "vene/base/error.h"

namespace vene {
namespace {

using torch::Tensor;

constexpr const char* kRotation = "rotate_layer";

std::int64_t rank_of(const InterventionSettings& settings, bool low_rank) {
  if (!low_rank) return settings.width;
  if (!settings.low_rank_dimension)
    throw ConfigError("low_rank_rotated_space needs low_rank_dimension, the number of columns of its rotation");
  return *settings.low_rank_dimension;
}

Tensor temperature_option(const InterventionSettings& settings) {
  const double value = std::get<double>(settings.options.at("temperature"));
  if (!(value > 0)) throw ConfigError("temperature is " + std::to_string(value) + ", expected more than 0");
  return torch::tensor(value, torch::kFloat32);
}

// W without a gradient. What trains it may write past its version counter (torch's SGD does), so it is kept no longer
// than the run that it was made in: that spares a generation making it in each decoding step.
struct KeptWeight {
  Tensor weight;
};

std::any* place_in_run() {
  try {
    return current_firing().state;
  } catch (const PlanError&) {
    return nullptr;  // called outside a run
  }
}

Tensor weight_of(const RotationImpl& rotation) {
  const bool differentiable =
      torch::GradMode::is_enabled() && !rotation.parameters().empty() && rotation.parameters().front().requires_grad();
  std::any* place = differentiable ? nullptr : place_in_run();
  if (place == nullptr) return rotation.weight();
  if (const auto* kept = std::any_cast<KeptWeight>(place)) return kept->weight;
  const Tensor weight = rotation.weight();
  if (!place->has_value()) *place = KeptWeight{weight};  // what a derived class keeps there stays
  return weight;
}

}  // namespace

RotatedSpace::RotatedSpace(const InterventionSettings& settings, bool low_rank) : Intervention(settings) {
  require_width(settings, "a rotation");
  const std::int64_t rank = rank_of(settings, low_rank);
  rotation = Rotation(width_, rank, parse_rotation_map(std::get<std::string>(settings.options.at("map")), width_, rank),
                      std::get<std::int64_t>(settings.options.at("seed")));
  register_module(kRotation, rotation);
}

Tensor RotatedSpace::mixed(const Tensor& base, const Tensor& source, const Tensor& w, const Tensor& weights) {
  const Tensor x = base.to(w.scalar_type());
  Tensor difference = (broadcast_source(x, source) - x).matmul(w);
  if (weights.defined()) difference = difference * weights;
  return (x + difference.matmul(w.t())).to(base.scalar_type());
}

Tensor RotatedSpace::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  const Tensor w = weight_of(*rotation);
  const std::int64_t rank = rotation->rank();
  const std::int64_t leading = rank == width_ ? std::min(interchange_dim.value_or(rank), rank) : rank;
  if (subspace.all()) return mixed(base, source, w.narrow(1, 0, leading), {});
  if (subspace.columns.dim() == 1) return mixed(base, source, w.index_select(1, subspace.columns), {});
  return mixed(base, source, w, column_mask(subspace, base.dim(), rank, w.options()));
}

Tensor RotatedSpace::weighed(const Tensor& base, const Tensor& source, const Tensor& weights,
                             const Subspace& subspace) const {
  const Tensor limited =
      subspace.all() ? weights : weights * column_mask(subspace, base.dim(), width_, weights.options());
  return mixed(base, source, weight_of(*rotation), limited);
}

void RotatedSpace::restore(const NamedTensors& state, const std::string& where) {
  rotation->expect(state, kRotation, where);
  const std::string code = std::string(kRotation) + ".parametrizations.weight.0.map";
  NamedTensors whole = state;
  // pyvene's tensors do not say which map they are for; `expect` knows.
  if (std::none_of(state.begin(), state.end(), [&](const auto& entry) { return entry.first == code; })) {
    whole.emplace_back(code, torch::tensor(static_cast<std::int64_t>(rotation->map())));
  }
  Intervention::restore(whole, where);
}

NamedTensors RotatedSpace::pyvene_state() const {
  const RotationMap theirs = rotation->rank() < width_ ? RotationMap::kHouseholder : RotationMap::kMatrixExponential;
  const torch::NoGradGuard no_grad;
  const std::string folder = std::string(kRotation) + ".parametrizations.weight.";
  NamedTensors tensors;
  for (auto& [name, tensor] : state()) {
    if (name == folder + "0.map") continue;
    Tensor value = tensor;
    if (rotation->map() == theirs) {
      if (name == folder + "0.base") value = rotation->dense_base();
      // Its diagonal is a constant there too, as long as no weight decay touches it.
      if (name == folder + "original") value = tensor.clone().fill_diagonal_(-1);
    } else {
      // Another map than pyvene's: the matrix reached, as pyvene's start.
      Rotation start(width_, rotation->rank(), theirs, 0);
      start->to(tensor.device(), tensor.scalar_type());
      start->set_weight(rotation->weight());
      if (name == folder + "0.base") value = start->dense_base();
      if (name == folder + "original") value = -torch::eye(width_, rotation->rank(), tensor.options());
    }
    tensors.emplace_back(name, value);
  }
  return tensors;
}

BoundlessRotatedSpace::BoundlessRotatedSpace(const InterventionSettings& settings) : RotatedSpace(settings, false) {
  intervention_boundaries = register_parameter("intervention_boundaries", torch::tensor({0.5F}));
  temperature = register_buffer("temperature", temperature_option(settings));
}

Tensor BoundlessRotatedSpace::mask() const {
  const Tensor boundary = intervention_boundaries.clamp(1e-3, 1)[0] * static_cast<double>(width_);
  const Tensor column = torch::arange(width_, intervention_boundaries.options());
  return torch::sigmoid(column / temperature) * torch::sigmoid((boundary - column) / temperature);
}

Tensor BoundlessRotatedSpace::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  return weighed(base, source, mask(), subspace);
}

NamedTensors BoundlessRotatedSpace::pyvene_state() const {
  NamedTensors tensors = RotatedSpace::pyvene_state();
  tensors.emplace_back("intervention_population", torch::arange(width_, torch::kInt64));
  return tensors;
}

SigmoidMaskRotatedSpace::SigmoidMaskRotatedSpace(const InterventionSettings& settings) : RotatedSpace(settings, false) {
  masks = register_parameter("masks", torch::full({width_}, 100.0));
  temperature = register_buffer("temperature", temperature_option(settings));
}

Tensor SigmoidMaskRotatedSpace::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  return weighed(base, source, torch::sigmoid(masks / temperature), subspace);
}

Directions::Directions(const InterventionSettings& settings) : Intervention(settings) {
  require_width(settings, "a bank of directions");
  const std::int64_t count = std::get<std::int64_t>(settings.options.at("count")),
                     seed = std::get<std::int64_t>(settings.options.at("seed"));
  if (count < 1) throw ConfigError("directions: count is " + std::to_string(count) + ", expected at least 1");
  detail::need_room("count", count, width_, 3);  // drawn, their lengths taken out, and what a training keeps
  const torch::NoGradGuard no_grad;
  std::optional<at::Generator> generator;
  if (seed >= 0) generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  const Tensor start = torch::empty({count, width_}).normal_(0, 1, generator);
  directions = register_parameter("directions", start / start.norm(2, {1}, true));
}

Tensor Directions::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  const Tensor w = directions / directions.norm(2, {1}, true);
  const Tensor x = base.to(w.scalar_type());
  Tensor along = (broadcast_source(x, source) - x).matmul(w.t());
  if (!subspace.all()) along = along * column_mask(subspace, base.dim(), w.size(0), w.options());
  return (x + along.matmul(w)).to(base.scalar_type());
}

SigmoidMask::SigmoidMask(const InterventionSettings& settings) : Intervention(settings) {
  require_width(settings, "sigmoid_mask");
  mask = register_parameter("mask", torch::zeros({width_}));
  temperature = register_buffer("temperature", temperature_option(settings));
}

Tensor SigmoidMask::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  Tensor weights = torch::sigmoid(mask / temperature);
  if (!subspace.all()) weights = weights * column_mask(subspace, base.dim(), width_, weights.options());
  const Tensor x = base.to(mask.scalar_type());
  return (x + weights * (broadcast_source(x, source) - x)).to(base.scalar_type());
}

}  // namespace vene
