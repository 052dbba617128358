// SPDX-License-Identifier: Apache-2.0
#include "vene/base/names.h"

#include <algorithm>
#include <cctype>

#include "src/base/readable.h"

namespace vene {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same =
          std::tolower(static_cast<unsigned char>(a[i - 1])) == std::tolower(static_cast<unsigned char>(b[j - 1]));
      const std::size_t substituted = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& candidates,
                                       std::size_t most) {
  std::vector<std::pair<std::size_t, std::string>> near;
  constexpr std::size_t kLongest = 256;  // of a name that somebody wrote; the distance takes time with the square of it
  if (name.size() > kLongest) return {};
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    std::size_t distance = edit_distance(name, candidate);
    // A name that lies wholly inside another ("mlp_out" in "mlp_output") is near whatever its length.
    const bool inside = name.size() >= 3 &&
                        (candidate.find(name) != std::string::npos || name.find(candidate) != std::string_view::npos);
    if (inside) distance = std::min<std::size_t>(distance, 2);
    if (distance <= std::max<std::size_t>(2, name.size() / 3)) near.emplace_back(distance, candidate);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (auto& [distance, candidate] : near) {
    if (names.size() == most) break;
    if (std::find(names.begin(), names.end(), candidate) == names.end()) names.push_back(std::move(candidate));
  }
  return names;
}

std::string name_hint(std::string_view name, const std::vector<std::string>& candidates) {
  if (candidates.empty()) return "";
  const std::vector<std::string> near = nearest_names(name, candidates);
  if (near.empty()) {
    constexpr std::size_t kShown = 24;
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < std::min(kShown, candidates.size()); ++i) shown.push_back(shortened(candidates[i]));
    if (shown.size() < candidates.size()) shown.push_back("...");
    return "; known: " + join(shown);
  }
  return "; did you mean '" + join(near, "' or '") + "'?";
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += separator;
    text += items[i];
  }
  return text;
}

}  // namespace vene
