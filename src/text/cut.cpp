// SPDX-License-Identifier: Apache-2.0
#include "src/text/cut.h"

#include <algorithm>

#include "vene/base/error.h"

namespace vene::text {

Cut::Cut(std::string_view text) : bytes(text) {
  constexpr std::size_t kMost = std::size_t{1} << 30;
  if (text.size() > kMost)
    throw Error("a text of " + std::to_string(text.size()) + " bytes is too long to be cut into tokens; at most " +
                std::to_string(kMost));
  if (!text.empty()) pieces.push_back({0, text.size(), 0, nullptr});
}

Rewriter::Rewriter(Cut& cut) : cut_(cut) {
  bytes_.reserve(cut.bytes.size() + cut.bytes.size() / 4);
  places_.reserve(cut.bytes.size() + cut.bytes.size() / 4);
  pieces_.reserve(cut.pieces.size());
}

void Rewriter::keep(std::size_t first, std::size_t last) {
  bytes_.append(cut_.bytes, first, last - first);
  if (cut_.places.empty()) {
    for (std::size_t byte = first; byte < last; ++byte)
      places_.push_back({static_cast<std::uint32_t>(byte), static_cast<std::uint32_t>(byte + 1)});
  } else {
    places_.insert(places_.end(), cut_.places.begin() + static_cast<std::ptrdiff_t>(first),
                   cut_.places.begin() + static_cast<std::ptrdiff_t>(last));
  }
}

void Rewriter::put(std::string_view bytes, Place place) {
  bytes_.append(bytes);
  places_.insert(places_.end(), bytes.size(), place);
}

void Rewriter::finish() {
  cut_.bytes = std::move(bytes_);
  cut_.places = std::move(places_);
  cut_.pieces = std::move(pieces_);
}

void transform(const Cut& cut, const Piece& piece, const std::vector<Change>& changes, Rewriter& rewriter) {
  const std::string_view text(cut.bytes);
  std::size_t at = piece.first;
  Place previous{piece.origin, piece.origin};  // of the old character before `at`
  const auto take = [&](std::size_t& first) {
    first = at;
    const std::uint32_t code = at < piece.last ? next_code(text, at) : kReplacement;
    if (at > first) previous = cut.place(first, at);
    return code;
  };
  for (const Change& change : changes) {
    if (change.change > 0) {
      rewriter.put(utf8(change.code), previous);
      continue;
    }
    std::size_t first = 0, unused = 0;
    const std::uint32_t code = take(first);
    if (code == change.code)
      rewriter.keep(first, at);  // each byte with a place of its own, also where it is no UTF-8
    else
      rewriter.put(utf8(change.code), previous);
    for (int removed = change.change; removed < 0; ++removed) take(unused);
  }
}

void settle(std::vector<Match>& matches, Behavior behavior) {
  if (behavior == Behavior::kRemoved) return;
  if (behavior == Behavior::kIsolated) {
    for (Match& match : matches) match.matched = false;
    return;
  }
  const bool backwards = behavior == Behavior::kMergedWithNext;
  if (backwards) std::reverse(matches.begin(), matches.end());
  std::vector<Match> settled;
  bool previous = false;
  for (const Match& match : matches) {
    const bool joins = behavior == Behavior::kContiguous ? match.matched == previous : match.matched && !previous;
    if (joins && !settled.empty())
      (backwards ? settled.back().first : settled.back().last) = backwards ? match.first : match.last;
    else
      settled.push_back({match.first, match.last, false});
    previous = match.matched;
  }
  if (backwards) std::reverse(settled.begin(), settled.end());
  matches = std::move(settled);
}

}  // namespace vene::text
