// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <utility>

#include "src/text/cut.h"
#include "src/text/unicode.h"

namespace vene::text {

template <class Find>
void cut_by(Cut& cut, Behavior behavior, bool invert, Find find) {
  std::vector<Piece> finer;
  finer.reserve(cut.pieces.size() * 2);
  std::vector<Match> matches;
  for (const Piece& piece : cut.pieces) {
    if (piece.token != nullptr) {
      finer.push_back(piece);
      continue;
    }
    matches.clear();
    find(cut.view(piece), matches);
    if (invert) {
      for (Match& match : matches) match.matched = !match.matched;
    }
    settle(matches, behavior);
    for (const Match& match : matches) {
      if (match.last == match.first || match.matched) continue;
      const std::size_t first = piece.first + match.first;
      finer.push_back({first, piece.first + match.last, cut.place(first, first + 1).begin, nullptr});
    }
  }
  cut.pieces = std::move(finer);
}

template <class Is>
void cut_by_characters(Cut& cut, Behavior behavior, Is is) {
  cut_by(cut, behavior, false, [&](std::string_view view, std::vector<Match>& matches) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < view.size();) {
      const std::size_t first = at;
      if (!is(next_code(view, at))) continue;
      if (first > begin) matches.push_back({begin, first, false});
      matches.push_back({first, at, true});
      begin = at;
    }
    if (view.size() > begin) matches.push_back({begin, view.size(), false});
  });
}

}  // namespace vene::text
