// SPDX-License-Identifier: Apache-2.0
// A text on its way to tokens: what normalisation made of it, where each byte of that comes from, and the pieces that
// it has been cut into so far. Normalizers and pre-tokenizers are steps on it. Private to text.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vene::text {

struct AddedToken;

/// Bytes of the text that was given.
struct Place {
  std::uint32_t begin = 0, end = 0;
};

struct Piece {
  std::size_t first = 0, last = 0;    ///< bytes of Cut::bytes
  std::uint32_t origin = 0;           ///< where in the given text it began when it was cut off
  const AddedToken* token = nullptr;  ///< a token already: no step touches it
};

struct Cut {
  std::string bytes;
  std::vector<Place> places;  ///< one a byte; empty: every byte is its own
  std::vector<Piece> pieces;

  explicit Cut(std::string_view text);
  std::string_view view(const Piece& piece) const {
    return std::string_view(bytes).substr(piece.first, piece.last - piece.first);
  }
  /// Where bytes [first, last) come from; first < last.
  Place place(std::size_t first, std::size_t last) const {
    if (places.empty()) return {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)};
    return {places[first].begin, places[last - 1].end};
  }
};

/// A stretch of a piece that a pattern matched or did not; together they cover it.
struct Match {
  std::size_t first = 0, last = 0;
  bool matched = false;
};

/// What becomes of matches when a piece is cut.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

class Step {
 public:
  virtual ~Step() = default;
  virtual void apply(Cut& cut) const = 0;
};

/// Steps one after another, each on what the one before left.
class StepSequence : public Step {
 public:
  explicit StepSequence(std::vector<std::unique_ptr<Step>> steps) : steps_(std::move(steps)) {}
  void apply(Cut& cut) const override {
    for (const auto& step : steps_) step->apply(cut);
  }

 private:
  std::vector<std::unique_ptr<Step>> steps_;
};

/// Writes a cut's text anew, piece by piece.
class Rewriter {
 public:
  explicit Rewriter(Cut& cut);
  /// The bytes [first, last) of the old text, as they are.
  void keep(std::size_t first, std::size_t last);
  void put(std::string_view bytes, Place place);
  /// A character of the old text: the place of its bytes.
  Place place(std::size_t first, std::size_t last) const { return cut_.place(first, last); }

  /// Calls write(piece, rewriter) for every piece that is no token; pieces that come out empty are dropped.
  template <class Write>
  static void run(Cut& cut, Write write) {
    Rewriter rewriter(cut);
    for (const Piece& piece : cut.pieces) {
      const std::size_t first = rewriter.bytes_.size();
      if (piece.token != nullptr)
        rewriter.keep(piece.first, piece.last);
      else
        write(piece, rewriter);
      if (rewriter.bytes_.size() > first)
        rewriter.pieces_.push_back({first, rewriter.bytes_.size(), piece.origin, piece.token});
    }
    rewriter.finish();
  }

 private:
  void finish();
  Cut& cut_;
  std::string bytes_;
  std::vector<Place> places_;
  std::vector<Piece> pieces_;
};

/// One character of a piece's new text. change 0 replaces the next old character, above 0 is put in behind what is
/// there, -n replaces one and removes the n after it. `removed` old characters in front go.
struct Change {
  std::uint32_t code = 0;
  int change = 0;
};
void transform(const Cut& cut, const Piece& piece, const std::vector<Change>& changes, Rewriter& rewriter);

/// Cuts every piece that is no token: find(view, matches) fills matches of it, counted from its begin.
template <class Find>
void cut_by(Cut& cut, Behavior behavior, bool invert, Find find);

/// The same by characters: those for which `is` holds are matches of their own.
template <class Is>
void cut_by_characters(Cut& cut, Behavior behavior, Is is);

/// The stretches that a behaviour leaves of matches.
void settle(std::vector<Match>& matches, Behavior behavior);

}  // namespace vene::text

#include "src/text/cut_impl.h"
