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

/// A constant that is made on the CPU, and kept on the device that asked for it last. Copies share what is kept.
class OnDevice {
 public:
  explicit OnDevice(torch::Tensor value = {});
  torch::Tensor operator()(torch::Device device) const;

 private:
  struct Kept;
  std::shared_ptr<Kept> kept_;
};

/// How fast the features of a head turn. Made without positions: nothing turns.
class Turning {
 public:
  Turning() = default;
  /// For heads of `head_dim` features. ModelError for an odd number of turned features, and for factors that are not
  /// one a pair of them.
  Turning(const RotaryOptions& options, std::int64_t head_dim);

  bool defined() const { return frequencies_.defined(); }
  /// In float32: [turned features / 2] or, where they depend on how long a row is, [batch, 1, turned features / 2]. A
  /// row of `position_ids` [batch, pos] is as long as its last position says.
  torch::Tensor frequencies(const torch::Tensor& position_ids) const;
  double attention_factor() const { return options_.attention_factor; }

 private:
  RotaryOptions options_{};
  torch::Tensor frequencies_{};  // of rows within the original context
  OnDevice on_device_{}, of_long_rows_{}, exponents_{};
};

/// Frequencies [turned features / 2] in float32, of rows within the original context.
torch::Tensor rotary_frequencies(const RotaryOptions& options, std::int64_t head_dim);

/// The angles of `position_ids` [batch, pos], their cosines and sines times `factor`. Computed in float32 and cast to
/// `dtype`.
Angles rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype,
                     double factor = 1);

/// Queries or keys [batch, heads, pos, d_head] turned by their positions: the halves of the turned features are the
/// pairs; features beyond them pass unchanged. The result has the type of `value`.
torch::Tensor rotate(const torch::Tensor& value, const Angles& angles);

/// How configs without rope_parameters name two of the fields. An empty `partial`: the architecture turns whole heads
/// only.
struct RotaryFieldNames {
  std::string theta = "rope_theta", partial;
};

/// Reads rope_parameters (transformers 5), or rope_scaling and the fields beside it (before that), as transformers
/// does; `options` has the defaults, `context` is max_position_embeddings. ModelError for a rope_type that is not built
/// in, for parameters that it does not have, and for fields that contradict each other.
RotaryOptions read_rotary(const ConfigReader& config, std::int64_t context, RotaryOptions options = {},
                          const RotaryFieldNames& names = {});

}  // namespace vene::models
