// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "src/text/cut.h"
#include "src/text/part.h"

namespace vene::text {

struct PlacedId {
  std::int64_t id = 0;
  Place place{};
  const AddedToken* token = nullptr;  ///< found in the text as it stands
  bool put_around = false;            ///< not of the text
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// Stretches of ids: the text's at first, and what others put around it. Each processor of a sequence sees those that
  /// the one before left.
  using Stretches = std::vector<std::vector<PlacedId>>;
  /// @param special  whether to put tokens around the text
  virtual void apply(Stretches& stretches, bool special) const = 0;
};

/// What a tokenizer.json calls a post-processor; IoError naming what is not understood.
std::unique_ptr<PostProcessor> read_post_processor(const Part& part, int depth = 0);
/// One id in front, one behind; either may be none.
std::unique_ptr<PostProcessor> around(std::optional<std::int64_t> front, std::optional<std::int64_t> behind);

}  // namespace vene::text
