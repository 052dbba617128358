// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// One way to name positions (or heads, or steps) of a row. Positions count within the row's unpadded text.
struct VENE_API Selector {
  enum class Kind : std::uint8_t { kIndex, kFirst, kLast, kAll, kSpan, kToken };
  Kind kind = Kind::kIndex;
  std::int64_t begin = 0;       ///< the index (negative: from the end), the span's first, or how many (first, last)
  std::int64_t end = 0;         ///< the span's end, exclusive
  std::string text{};           ///< kToken: the text to find, with its leading space where it has one
  std::int64_t occurrence = 0;  ///< kToken: 0 is the first match, -1 the last
  bool operator==(const Selector&) const = default;
};

/// The units picked in one row, in order.
using RowSelection = std::vector<Selector>;
/// One axis: one selection for every row, or one a row.
struct AxisSelection {
  std::vector<RowSelection> rows{};
  bool operator==(const AxisSelection&) const = default;
};
/// One intervention: an axis for "pos", "h" and "t", two (heads, then positions) for "h.pos". Empty: the whole value.
using UnitSelection = std::optional<std::vector<AxisSelection>>;

/// One side (source or base) of one hop.
struct SideSelection {
  bool for_all = false;                ///< `units` has one entry, meant for every intervention
  std::vector<UnitSelection> units{};  ///< else one an intervention, in the order of the config
  bool operator==(const SideSelection&) const = default;
};

struct HopSelection {
  std::optional<SideSelection> source{};  ///< empty: like base
  SideSelection base{};
  bool operator==(const HopSelection&) const = default;
};

/// Where interventions read and write: one hop ("sources->base") in parallel mode, one a group in serial mode
/// ("source_0->source_1", ..., "source_1->base"). Empty: the whole value everywhere.
struct VENE_API Locations {
  std::map<std::string, HopSelection> hops{};

  /// The JSON forms that docs/experiment.md describes: `{"base": BASE}`, `{"sources->base": int or [SRC, BASE]}`, one
  /// entry a hop in serial mode, or null. Throws ConfigError with the path of what is wrong.
  static Locations parse(std::string_view json);
  bool empty() const { return hops.empty(); }
  bool operator==(const Locations&) const = default;
};

// --- makers ---------------------------------------------------------------------------------------
/// What the makers below give: units of every row and every intervention. `+` joins: first(7) + last(7).
struct VENE_API Positions {
  RowSelection selection{};
  Positions operator+(const Positions& other) const;
  operator Locations() const;  ///< the same positions in source and base  // NOLINT(google-explicit-constructor)
};
VENE_API Positions at(std::int64_t index);  ///< negative: from the end of each row's text
VENE_API Positions at(std::vector<std::int64_t> indices);
VENE_API Positions first(std::int64_t count = 1);
VENE_API Positions last(std::int64_t count = 1);
VENE_API Positions all();
VENE_API Positions span(std::int64_t begin, std::int64_t end);  ///< end exclusive
VENE_API Positions token(std::string text, std::int64_t occurrence = 0);
/// Different positions in source and base.
VENE_API Locations from(const Positions& source, const Positions& base);
/// Heads at positions (unit "h.pos").
VENE_API Locations heads_at(std::vector<std::int64_t> heads, const Positions& positions);
/// Per row: rows[i] are the positions of row i.
VENE_API Locations per_row(const std::vector<std::vector<std::int64_t>>& rows);

}  // namespace vene
