// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>

#include "models/common/config_reader.h"
#include "vene/models/rotary.h"

namespace vene::models {

/// Cosines and sines [batch, 1, pos, turned features] of rotary positions.
using Angles = std::pair<torch::Tensor, torch::Tensor>;

/// Frequencies [turned features / 2] in float32 for heads of `head_dim` features. ModelError for an odd number of
/// turned features.
torch::Tensor rotary_frequencies(const RotaryOptions& options, std::int64_t head_dim);

/// A constant that is made on the CPU, and kept on the device that asked for it last. Copies share what is kept.
class OnDevice {
 public:
  explicit OnDevice(torch::Tensor value = {});
  torch::Tensor operator()(torch::Device device) const;

 private:
  struct Kept;
  std::shared_ptr<Kept> kept_;
};

/// The angles of `position_ids` [batch, pos]. Computed in float32 and cast to `dtype`.
Angles rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype);

/// Queries or keys [batch, heads, pos, d_head] turned by their positions: the halves of the turned features are the
/// pairs; features beyond them pass unchanged. The result has the type of `value`.
torch::Tensor rotate(const torch::Tensor& value, const Angles& angles);

/// How configs without rope_parameters name two of the fields. An empty `partial`: the architecture turns whole heads
/// only.
struct RotaryFieldNames {
  std::string theta = "rope_theta", partial;
};

/// Reads rope_parameters (transformers 5) or rope_scaling and the two fields beside it (before that); `options` has the
/// defaults. ModelError for a rope_type that is not built in and for parameters that it does not have.
RotaryOptions read_rotary(const ConfigReader& config, RotaryOptions options = {}, const RotaryFieldNames& names = {});

}  // namespace vene::models
