// SPDX-License-Identifier: Apache-2.0
#include "models/common/rotary.h"

#include <cmath>
#include <mutex>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

torch::Tensor stretched(const torch::Tensor& frequencies, const RopeStretch& stretch) {
  const auto original = static_cast<double>(stretch.original_max_position_embeddings);
  const torch::Tensor wavelength = 2 * M_PI / frequencies;
  const torch::Tensor smooth =
      (original / wavelength - stretch.low_freq_factor) / (stretch.high_freq_factor - stretch.low_freq_factor);
  const torch::Tensor between = (1 - smooth) * frequencies / stretch.factor + smooth * frequencies;
  const torch::Tensor is_long = wavelength > original / stretch.low_freq_factor;
  const torch::Tensor is_short = wavelength < original / stretch.high_freq_factor;
  return torch::where(is_long, frequencies / stretch.factor, torch::where(is_short, frequencies, between));
}

}  // namespace

torch::Tensor rotary_frequencies(const RotaryOptions& options, std::int64_t head_dim) {
  const auto turned = static_cast<std::int64_t>(static_cast<double>(head_dim) * options.partial);
  if (turned <= 0 || turned > head_dim || turned % 2 != 0) {
    throw ModelError("rotary positions turn pairs of features, and " + std::to_string(turned) + " of a head's " +
                     std::to_string(head_dim) + " cannot be paired");
  }
  const torch::Tensor exponents =
      torch::arange(0, turned, 2, torch::kInt64).to(torch::kFloat32) / static_cast<double>(turned);
  const torch::Tensor frequencies = 1.0 / torch::pow(options.theta, exponents) / options.factor;
  return options.stretch ? stretched(frequencies, *options.stretch) : frequencies;
}

struct OnDevice::Kept {
  torch::Tensor made, elsewhere;
  std::mutex mutex;
};

OnDevice::OnDevice(torch::Tensor value) : kept_(std::make_shared<Kept>()) {
  kept_->made = std::move(value);
}

torch::Tensor OnDevice::operator()(torch::Device device) const {
  if (!kept_->made.defined() || kept_->made.device() == device) return kept_->made;
  const std::lock_guard<std::mutex> lock(kept_->mutex);
  if (!kept_->elsewhere.defined() || kept_->elsewhere.device() != device) kept_->elsewhere = kept_->made.to(device);
  return kept_->elsewhere;
}

Angles rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype) {
  const torch::Tensor half = position_ids.to(torch::kFloat32).unsqueeze(-1) *
                             frequencies.to(position_ids.device());  // [batch, pos, turned / 2]
  const torch::Tensor whole = torch::cat({half, half}, -1).unsqueeze(1);
  return {whole.cos().to(dtype), whole.sin().to(dtype)};
}

torch::Tensor rotate(const torch::Tensor& value, const Angles& angles) {
  const std::int64_t turned = angles.first.size(-1), rest = value.size(-1) - turned;
  const torch::Tensor part = rest == 0 ? value : value.narrow(-1, 0, turned);
  const std::vector<torch::Tensor> halves = part.chunk(2, -1);
  const torch::Tensor result =
      (part * angles.first + torch::cat({-halves[1], halves[0]}, -1) * angles.second).to(value.scalar_type());
  return rest == 0 ? result : torch::cat({result, value.narrow(-1, turned, rest)}, -1);
}

RotaryOptions read_rotary(const ConfigReader& config, RotaryOptions options, const RotaryFieldNames& names) {
  if (config.has(names.theta)) options.theta = config.positive(names.theta);
  if (!names.partial.empty()) options.partial = config.number(names.partial, options.partial);
  const auto rope = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!rope) return options;
  if (rope->has("rope_theta")) options.theta = rope->positive("rope_theta");
  const double partial = rope->number("partial_rotary_factor", options.partial);
  if (names.partial.empty() && partial != options.partial) {
    throw ModelError(rope->where() + ": field 'partial_rotary_factor' is " + std::to_string(partial) +
                     ", which is not supported; expected 1 or none");
  }
  options.partial = partial;
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    if (rope->has(kind))
      throw ModelError(rope->where() + ": field '" + kind +
                       "': rotary positions that differ from layer to layer are not supported");
  }
  const std::string type = rope->text("rope_type", rope->text("type", "default"));
  if (type == "linear") {
    options.factor = rope->positive("factor");
  } else if (type == "llama3") {
    RopeStretch stretch;
    stretch.factor = rope->positive("factor");
    stretch.low_freq_factor = rope->positive("low_freq_factor");
    stretch.high_freq_factor = rope->positive("high_freq_factor");
    stretch.original_max_position_embeddings = rope->integer("original_max_position_embeddings");
    if (stretch.high_freq_factor == stretch.low_freq_factor)
      throw ModelError(rope->where() + ": low_freq_factor and high_freq_factor are the same");
    options.stretch = stretch;
  } else if (type != "default") {
    throw ModelError(rope->where() + ": rope_type '" + type + "' is not supported" +
                     name_hint(type, {"default", "linear", "llama3"}));
  }
  return options;
}

}  // namespace vene::models
