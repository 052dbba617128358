// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// In which passes of a generation an intervention acts. Step 0 is the pass over the prompt, step k the pass that reads
/// the k-th new token.
class VENE_API When {
 public:
  static When prompt() { return When({{0, 1}}); }  ///< step 0 alone
  static When decode() { return from(1); }         ///< every step but 0
  static When both() { return from(0); }           ///< every step
  static When from(std::int64_t first);            ///< that step and all after it
  /// Steps [begin, end), end exclusive as in `span`.
  static When steps(std::int64_t begin, std::int64_t end);
  /// Just these. Throws ConfigError for none, and for negative ones.
  static When steps(const std::vector<std::int64_t>& list);
  /// The passes of either.
  When operator+(const When& other) const;

  bool acts(std::int64_t step) const noexcept;
  /// Whether it acts in any decoding step.
  bool decodes() const noexcept { return ranges_.back().second > 1; }
  /// The first step in which it acts.
  std::int64_t first() const noexcept { return ranges_.front().first; }
  /// "prompt", "decode", "both", "steps 1, 4 to 6": for messages.
  std::string text() const;

  static constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();
  using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;
  /// Ascending, apart from each other, [begin, end); the end kForever is open.
  const Ranges& ranges() const noexcept { return ranges_; }
  bool operator==(const When&) const = default;

 private:
  explicit When(Ranges ranges);
  Ranges ranges_;
};

}  // namespace vene
