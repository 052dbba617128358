// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/locations.h"

namespace vene {
namespace {

Selector index_selector(std::int64_t index) {
  return {Selector::Kind::kIndex, index, 0, {}, 0};
}

SideSelection for_all(const RowSelection& selection) {
  return {true, {std::vector<AxisSelection>{AxisSelection{{selection}}}}};
}

Locations one_hop(HopSelection hop) {
  Locations locations;
  locations.hops["sources->base"] = std::move(hop);
  return locations;
}

}  // namespace

Positions Positions::operator+(const Positions& other) const {
  Positions sum = *this;
  sum.selection.insert(sum.selection.end(), other.selection.begin(), other.selection.end());
  return sum;
}

Positions::operator Locations() const {
  return one_hop({std::nullopt, for_all(selection)});
}

Positions at(std::int64_t index) {
  return {{index_selector(index)}};
}

Positions at(std::vector<std::int64_t> indices) {
  Positions positions;
  for (std::int64_t index : indices) positions.selection.push_back(index_selector(index));
  return positions;
}

Positions first(std::int64_t count) {
  return {{{Selector::Kind::kFirst, count, 0, {}, 0}}};
}
Positions last(std::int64_t count) {
  return {{{Selector::Kind::kLast, count, 0, {}, 0}}};
}
Positions all() {
  return {{{Selector::Kind::kAll, 0, 0, {}, 0}}};
}
Positions span(std::int64_t begin, std::int64_t end) {
  return {{{Selector::Kind::kSpan, begin, end, {}, 0}}};
}
Positions token(std::string text, std::int64_t occurrence) {
  return {{{Selector::Kind::kToken, 0, 0, std::move(text), occurrence}}};
}

Locations from(const Positions& source, const Positions& base) {
  return one_hop({for_all(source.selection), for_all(base.selection)});
}

Locations heads_at(std::vector<std::int64_t> heads, const Positions& positions) {
  const RowSelection picked = at(std::move(heads)).selection;
  SideSelection side{true, {std::vector<AxisSelection>{AxisSelection{{picked}}, AxisSelection{{positions.selection}}}}};
  return one_hop({std::nullopt, std::move(side)});
}

Locations per_row(const std::vector<std::vector<std::int64_t>>& rows) {
  AxisSelection axis;
  for (const auto& row : rows) axis.rows.push_back(at(row).selection);
  return one_hop({std::nullopt, SideSelection{true, {std::vector<AxisSelection>{std::move(axis)}}}});
}

}  // namespace vene
