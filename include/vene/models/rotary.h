// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>

namespace vene::models {

/// Llama 3's stretching of low rotary frequencies, by the names in config.json's rope_parameters.
struct RopeStretch {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 8192;
};

/// Rotary positions: how fast each pair of a head's features turns.
struct RotaryOptions {
  double theta = 10000;
  double factor = 1;                     ///< linear scaling: positions are divided by it
  double partial = 1;                    ///< the share of a head's features that turn; the rest pass unchanged
  std::optional<RopeStretch> stretch{};  ///< Llama 3's scaling
};

}  // namespace vene::models
