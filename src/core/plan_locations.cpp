// SPDX-License-Identifier: Apache-2.0
// Where each representation reads and writes, and in a generation when.
#include <algorithm>

#include "src/base/readable.h"
#include "src/core/plan_data.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

std::string hop_name(Mode mode, std::size_t group, std::size_t groups) {
  if (mode == Mode::kParallel) return "sources->base";
  return "source_" + std::to_string(group) + "->" +
         (group + 1 == groups ? "base" : "source_" + std::to_string(group + 1));
}

const UnitSelection& selection_of(const SideSelection& side, std::size_t index, std::size_t count,
                                  const std::string& where) {
  if (side.for_all) return side.units[0];
  if (side.units.size() != count) {
    throw LocationError(where + ": locations for " + std::to_string(side.units.size()) + " interventions, expected " +
                        std::to_string(count));
  }
  return side.units[index];
}

// The sizes that a port promises for a site's value; empty when they are not known before the run.
std::vector<std::int64_t> expected_sizes(const Site& site, std::int64_t rows, std::int64_t positions) {
  std::vector<std::int64_t> sizes;
  for (Axis axis : site.axes) {
    switch (axis) {
      case Axis::kBatch:
        sizes.push_back(rows);
        break;
      case Axis::kPos:
      case Axis::kKey:
        sizes.push_back(positions);
        break;
      case Axis::kHead:
        sizes.push_back(site.heads);
        break;
      case Axis::kFeature:
        sizes.push_back(site.width);
        break;
    }
  }
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) sizes.clear();
  return sizes;
}

void make_base_index(const Placement& placement, Side& side, const std::vector<std::int64_t>& sizes,
                     torch::Device device) {
  side.index = make_index(placement, side, placement.site.axes, sizes, device);
  if (!side.index->any()) throw LocationError(name_of(placement) + ": the locations select no unit in any row");
  if (side.index->repeats() && !placement.traits.collects) {
    throw LocationError(name_of(placement) +
                        ": a row lists the same unit twice, so what is written there is ambiguous");
  }
}

void check_row_keys(const Placement& placement, std::int64_t row, std::int64_t reads, std::int64_t writes) {
  if (reads == writes) return;
  throw LocationError(name_of(placement) + ", row " + std::to_string(row) + ": the source's text has " +
                      std::to_string(reads) + " positions, that of what it writes into " + std::to_string(writes) +
                      "; " + (placement.site.component.empty() ? placement.site.path : placement.site.component) +
                      " holds a number for every position that is looked at, so both must be as long");
}

// A decoding step reads one token a row: locations pick within that.
Side decoding_side(const Side& side) {
  Side one = side;
  one.index.reset();
  one.texts.positions = 1;
  one.texts.begin.assign(one.texts.rows, 0);
  one.texts.end.assign(one.texts.rows, 1);
  one.texts.input_ids = torch::Tensor();
  one.texts.tokenizer = nullptr;
  one.where += ", in a decoding step";
  return one;
}

// The same for unit "t".
void set_step_decoding(const PlanData& plan, Placement& placement, torch::Device device) {
  const bool same = plan.generation->source_steps == SourceSteps::kSame;
  Side base = decoding_side(placement.base), source = same ? decoding_side(placement.source) : placement.source;
  // Without locations it is the one call that there is.
  const std::vector<AxisSelection> one{{{{Selector{}}}}};
  const bool unnamed = !base.selection || placement.own_steps;
  if (placement.reads_source && unnamed) base.selection = one;
  if (placement.reads_source && (!source.selection || (same && placement.own_steps))) source.selection = one;
  placement.steps_decoding = make_steps(placement, base, source, device);
}

void set_decoding(const PlanData& plan, Placement& placement, torch::Device device) {
  const bool same = plan.generation->source_steps == SourceSteps::kSame;
  const RowTexts& source = placement.source.texts;
  bool prompt_is_longer = false;
  for (std::int64_t row = 0; placement.reads_source && row < source.rows; ++row)
    prompt_is_longer = prompt_is_longer || source.end[row] - source.begin[row] != 1;
  if (placement.reads_source && !same && has_keys(placement.site)) {
    throw PlanError(name_of(placement) + ": in a decoding step a row looks at its prompt and what came after it, and " +
                    placement.site.component +
                    " of the source's prompt has no number for the latter; let the source decode too (source_steps "
                    "\"same\"), or act in \"prompt\" only");
  }
  if (!same && (!placement.source.selection || placement.own_steps) && prompt_is_longer) {
    throw PlanError(name_of(placement) +
                    ": in a decoding step it would write the whole of the source's prompt at one token; give the "
                    "source a position, let the source decode "
                    "too (source_steps \"same\"), or act in \"prompt\" only");
  }
  placement.base_decoding = decoding_side(placement.base);
  placement.source_decoding = decoding_side(placement.source);
  const std::vector<std::int64_t> sizes = expected_sizes(placement.site, placement.base.rows, 1);
  if (sizes.empty()) return;
  try {
    if (placement.unit == Unit::kStep) return set_step_decoding(plan, placement, device);
    make_base_index(placement, placement.base_decoding, sizes, device);
    // How many keys there are is known in each step.
    if (has_keys(placement.site)) placement.base_decoding.index.reset();
    if (!placement.reads_source || !same || has_keys(placement.site)) return;
    placement.source_decoding.index =
        make_index(placement, placement.source_decoding, placement.site.axes,
                   expected_sizes(placement.site, placement.source.texts.rows, 1), device);
  } catch (const LocationError& error) {
    throw LocationError(std::string(error.what()) +
                        " (a decoding step reads one token, the new one: position 0 or \"last\"; positions of the "
                        "prompt take \"when\": \"prompt\")");
  }
}

// Without locations a row's positions go into its own, whatever the padding: LocationError where it has another number
// of them than its source. A source of one position serves all.
void match_rows(Placement& placement, const RowTexts& target) {
  const Site& site = placement.site;
  const auto has = [&](Axis axis) { return std::find(site.axes.begin(), site.axes.end(), axis) != site.axes.end(); };
  const bool by_step = placement.unit == Unit::kStep;
  const bool has_positions =
      by_step ? site.calls == CallOrder::kPositions || site.calls == CallOrder::kPositionsBackward : has(Axis::kPos);
  const bool whole = !placement.base.selection && !placement.source.selection,
             heads = placement.unit == Unit::kHead && has(Axis::kHead);
  if (!has_positions || (!whole && !heads)) return;
  bool moved = target.padded();
  AxisSelection steps;  // of the source: as many as its row is written at
  if (placement.reads_source) {
    const RowTexts source = repeated(placement.source.texts, target.rows);
    moved = moved || source.padded();
    for (std::int64_t row = 0; row < target.rows; ++row) {
      const std::int64_t reads = source.end[row] - source.begin[row], writes = target.end[row] - target.begin[row];
      if (has_keys(site)) check_row_keys(placement, row, reads, writes);
      // Further steps of the source are ones that nothing asks for.
      const bool fits = reads == writes || (by_step ? reads > writes : reads == 1);
      if (!fits) {
        throw LocationError(name_of(placement) + ", row " + std::to_string(row) + ": the source has " +
                            std::to_string(reads) + " positions, what it writes into has " + std::to_string(writes) +
                            "; name the positions (unit_locations)");
      }
      steps.rows.push_back({Selector{.kind = Selector::Kind::kSpan, .begin = 0, .end = std::min(reads, writes)}});
    }
  }
  if (!by_step || !moved) return;  // other units are cut to each row's text when their index is made
  placement.own_steps = true;
  placement.base.selection = std::vector{AxisSelection{{{Selector{.kind = Selector::Kind::kAll}}}}};
  placement.source.selection = placement.reads_source ? std::vector{std::move(steps)} : *placement.base.selection;
}

void set_when(PlanData& plan, Placement& placement, const std::optional<When>& own, bool into_base) {
  if (!plan.generation) {
    if (own && !own->acts(0)) {
      throw PlanError(name_of(placement) + ": it acts " +
                      (*own == When::decode() ? "in decoding steps" : "in " + own->text()) +
                      " only, and a run is the pass over the prompt; use generate");
    }
    return;
  }
  if (placement.unit == Unit::kStep && placement.site.calls != CallOrder::kPositions) {
    throw PlanError(name_of(placement) + ": unit 't' counts the calls of " + site_text(placement.site) +
                    ", and nothing says that a generation's follow its positions");
  }
  // What is written into a source's run acts there as it does in a run, unless the source generates too.
  if (!into_base && plan.generation->source_steps == SourceSteps::kPrompt) return;
  placement.when =
      own ? *own : plan.generation->when.value_or(placement.base.selection ? When::prompt() : When::both());
}

}  // namespace

void set_locations(PlanData& plan, const RunRequest& request, const RowTexts& base_texts,
                   const std::map<std::size_t, RowTexts>& source_texts,
                   const std::vector<std::optional<When>>& representation_when) {
  std::vector<std::string> hops;
  if (plan.mode == Mode::kParallel) {
    hops.push_back("sources->base");
  } else {
    for (std::size_t g = 0; g < plan.groups; ++g) hops.push_back(hop_name(plan.mode, g, plan.groups));
  }
  for (const auto& [name, hop] : request.locations.hops) {
    if (std::find(hops.begin(), hops.end(), name) == hops.end()) {
      throw ConfigError("unit_locations: no hop '" + shortened(name) + "' in " +
                        (plan.mode == Mode::kSerial ? "serial" : "parallel") + " mode" + name_hint(name, hops));
    }
  }
  if (plan.mode == Mode::kSerial && !request.locations.empty()) {
    for (const std::string& name : hops) {
      if (!request.locations.hops.contains(name))
        throw ConfigError("unit_locations: serial mode needs an entry for every hop, '" + name + "' is missing");
    }
  }
  std::vector<std::size_t> seen_in_group(plan.groups, 0);
  std::vector<std::size_t> group_sizes(plan.groups, 0);
  for (const Placement& placement : plan.placements) ++group_sizes[placement.group];
  const torch::Device device = plan.model->device();
  for (Placement& placement : plan.placements) {
    const std::string hop_key = hop_name(plan.mode, placement.group, plan.groups);
    const std::size_t index = plan.mode == Mode::kSerial ? seen_in_group[placement.group]++ : placement.representation;
    const std::size_t count = plan.mode == Mode::kSerial ? group_sizes[placement.group] : plan.placements.size();
    // What this representation writes into: the base, or in serial mode the next group's source.
    const bool into_base = plan.mode == Mode::kParallel || placement.group + 1 == plan.groups;
    const auto next = source_texts.find(placement.group + 1);
    const RowTexts& target = into_base || next == source_texts.end() ? base_texts : next->second;
    placement.base.texts = placement.base.key_texts = target;
    placement.base.rows = target.rows;
    placement.base.where = name_of(placement);
    placement.source.where = name_of(placement) + ", source";
    placement.source.rows = target.rows;
    if (const auto found = request.locations.hops.find(hop_key); found != request.locations.hops.end()) {
      const std::string where = "unit_locations[\"" + hop_key + "\"]";
      placement.base.selection = selection_of(found->second.base, index, count, where + ", base");
      placement.source.selection = found->second.source
                                       ? selection_of(*found->second.source, index, count, where + ", source")
                                       : placement.base.selection;
    }
    if (placement.skipped) continue;
    set_when(plan, placement, representation_when[placement.representation], into_base);
    if (placement.reads_source) {
      const RowTexts& texts = source_texts.at(plan.source_of_group[placement.group]);
      if (texts.rows != target.rows && texts.rows != 1) {
        throw PlanError(name_of(placement) + ": its source has " + std::to_string(texts.rows) +
                        " rows, what it writes into has " + std::to_string(target.rows) +
                        " (a source of one row serves all)");
      }
      placement.source.texts = placement.source.key_texts = texts;
    }
    const bool target_runs = into_base || next != source_texts.end();  // else the passes say what is missing
    if (placement.when.acts(0) && target_runs) match_rows(placement, target);
    if (plan.generation && placement.when.decodes()) set_decoding(plan, placement, device);
    if (placement.unit == Unit::kStep) {
      if (placement.when.acts(0)) placement.steps = make_steps(placement, placement.base, placement.source, device);
      continue;
    }
    const std::vector<std::int64_t> base_sizes = expected_sizes(placement.site, target.rows, target.positions);
    if (!base_sizes.empty()) {
      if (placement.when.acts(0)) make_base_index(placement, placement.base, base_sizes, device);
      if (plan.reads_at(placement, 0)) {
        const RowTexts& texts = placement.source.texts;
        placement.source.index = make_index(placement, placement.source, placement.site.axes,
                                            expected_sizes(placement.site, texts.rows, texts.positions), device);
        if (!placement.base.index || !target_runs) continue;
        check_counts(placement.source.index->counts(), placement.base.index->counts(), name_of(placement));
        if (has_keys(placement.site)) {
          check_keys(placement, {placement.source.index->key_counts(), texts.positions},
                     {placement.base.index->key_counts(), target.positions}, *placement.base.index);
        }
      }
    }
  }
}

RowTexts repeated(const RowTexts& texts, std::int64_t rows) {
  if (texts.rows == rows) return texts;
  RowTexts wide = texts;
  wide.rows = rows;
  wide.begin.assign(rows, texts.begin[0]);
  wide.end.assign(rows, texts.end[0]);
  if (texts.input_ids.defined()) wide.input_ids = texts.input_ids.expand({rows, -1});
  return wide;
}

void check_keys(const Placement& placement, const KeyCounts& source, const KeyCounts& base, const UnitIndex& index) {
  for (std::int64_t row = 0; row < placement.base.rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    const bool acts = index.counts().empty() || (index.counts()[at].first > 0 && index.counts()[at].second > 0);
    if (acts) check_row_keys(placement, row, source.of(row), base.of(row));
  }
}

namespace {

// Each row's own places along an axis of `size`: where its text is, if the axis is that of the text; along the keys of
// a decoding step the rest of its prompt, padded on the left, and all that came after it. Empty where nothing is
// padded.
RowSpans own_places(const RowTexts& texts, std::int64_t rows, std::int64_t size, bool keys) {
  const bool goes_on = keys && size > texts.positions;
  if (!texts.padded() || (size != texts.positions && !goes_on)) return {};
  const RowTexts all = repeated(texts, rows);
  RowSpans spans{all.begin, all.end};
  if (goes_on) std::fill(spans.end.begin(), spans.end.end(), size);
  return spans;
}

}  // namespace

UnitIndex make_index(const Placement& placement, const Side& side, const std::vector<Axis>& axes,
                     const std::vector<std::int64_t>& sizes, torch::Device device) {
  auto size_of = [&](Axis axis) -> std::int64_t {
    const auto found = std::find(axes.begin(), axes.end(), axis);
    return found == axes.end() ? 0 : sizes[found - axes.begin()];
  };
  RowSpans own, keys;
  if (sizes[0] == side.texts.rows) {
    own = own_places(side.texts, side.rows, size_of(Axis::kPos), false);
    if (axes.back() == Axis::kKey) keys = own_places(side.key_texts, side.rows, sizes.back(), true);
  }
  if (!side.selection) {
    if (own.empty() && keys.empty()) {
      const bool of_text = sizes[0] == side.texts.rows && size_of(Axis::kPos) == side.texts.positions;
      return of_text ? UnitIndex(side.rows, side.texts.positions) : UnitIndex();
    }
    return UnitIndex::of_rows(axes, sizes, own, keys, side.rows, device);
  }
  const std::vector<AxisSelection>& selection = *side.selection;
  const std::size_t needed = placement.unit == Unit::kHeadPos ? 2 : 1;
  if (selection.size() != needed) {
    throw LocationError(side.where + ": unit '" +
                        (needed == 2                    ? "h.pos"
                         : placement.unit == Unit::kPos ? "pos"
                                                        : "h") +
                        "' takes " +
                        (needed == 2
                             ? "heads and positions, {\"h\": ..., \"pos\": ...} or [heads, positions] each [row][unit]"
                             : "one list of units, not heads and positions"));
  }
  // The text that positions count in: the batch's rows, or, where the value is of another length, the value itself.
  RowTexts texts = side.texts;
  if (const std::int64_t positions = size_of(Axis::kPos); positions > 0 && positions != texts.positions) {
    texts.positions = positions;
    texts.begin.assign(texts.rows, 0);
    texts.end.assign(texts.rows, positions);
    texts.tokenizer = nullptr;
  }
  auto positions = [&](const AxisSelection& axis) {
    return resolve_positions(axis, texts.rows == 1 ? repeated(texts, side.rows) : texts, side.where);
  };
  auto heads = [&](const AxisSelection& axis) {
    return resolve_axis(axis, side.rows, std::max<std::int64_t>(size_of(Axis::kHead), 1), Axis::kHead, side.where);
  };
  const bool by_head = placement.unit != Unit::kPos;
  if (by_head && size_of(Axis::kHead) == 0) {
    throw LocationError(side.where + ": unit 'h' needs a value with heads, and " + site_text(placement.site) +
                        " has none" + (placement.site.component.empty() ? "" : "; the head_* components have"));
  }
  const AxisIndices first = by_head ? heads(selection[0]) : positions(selection[0]);
  const AxisIndices second = placement.unit == Unit::kHeadPos ? positions(selection[1]) : AxisIndices{};
  return UnitIndex(axes, sizes, placement.unit, first, second, side.rows, device, side.where, own, keys);
}

}  // namespace vene::detail
