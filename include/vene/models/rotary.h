// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace vene::models {

/// Llama 3's stretching of low rotary frequencies, by the names in config.json's rope_parameters.
struct RopeStretch {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 8192;
  bool operator==(const RopeStretch&) const = default;
};

/// YaRN: high frequencies stay, low ones are divided by `factor`, and those between are mixed of both.
struct YarnStretch {
  double factor = 1;
  std::int64_t original_max_position_embeddings = 2048;
  double beta_fast = 32, beta_slow = 1;  ///< turns within the original context where the mixing begins and ends
  bool truncate = true;                  ///< the features between which it does are rounded outwards
  bool operator==(const YarnStretch&) const = default;
};

/// LongRoPE: every frequency has a divisor of its own, one for rows up to the original context and one for longer ones.
struct LongRope {
  std::vector<double> short_factor{}, long_factor{};  ///< one a pair of turned features
  std::int64_t original_max_position_embeddings = 2048;
  bool operator==(const LongRope&) const = default;
};

/// Dynamic NTK scaling: theta grows with rows that are longer than `max_position_embeddings`.
struct DynamicRope {
  double factor = 1;
  std::int64_t max_position_embeddings = 2048;
  bool operator==(const DynamicRope&) const = default;
};

/// Rotary positions: how fast each pair of a head's features turns. At most one of the last four is set.
struct RotaryOptions {
  double theta = 10000;
  double factor = 1;   ///< linear scaling: positions are divided by it
  double partial = 1;  ///< the share of a head's features that turn; the rest pass unchanged
  bool proportional =
      false;  ///< features beyond that share are turned by nothing, and frequencies are of the whole head
  double attention_factor = 1;           ///< cosines and sines are multiplied by it
  std::optional<RopeStretch> stretch{};  ///< Llama 3's scaling
  std::optional<YarnStretch> yarn{};
  std::optional<LongRope> long_rope{};
  std::optional<DynamicRope> dynamic{};
  bool operator==(const RotaryOptions&) const = default;
};

}  // namespace vene::models
