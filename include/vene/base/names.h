// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// The candidates nearest to `name` by edit distance, best first: at most `most`, and only those that a reader would
/// take for a slip of the pen.
VENE_API std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& candidates,
                                                std::size_t most = 3);

/// "; did you mean 'block_output'?" or, where nothing is near, "; known: a, b, c". Empty without candidates.
VENE_API std::string name_hint(std::string_view name, const std::vector<std::string>& candidates);

/// Items joined: "a, b, c".
VENE_API std::string join(const std::vector<std::string>& items, std::string_view separator = ", ");

/// "[2, 5, 64]", for messages about shapes.
template <class Sizes>
std::string shape_text(const Sizes& sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < static_cast<std::size_t>(sizes.size()); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  return text + "]";
}

}  // namespace vene
