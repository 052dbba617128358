// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/joined_cells.h"

#include <algorithm>
#include <numeric>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

using torch::Tensor;

RowTexts texts_of(const models::Batch& batch, const text::Tokenizer* tokenizer) {
  const auto on_cpu = [](const Tensor& tensor) { return tensor.defined() ? tensor.to(torch::kCPU) : tensor; };
  const Tensor ids = on_cpu(batch.input_ids);
  return RowTexts::of(ids, on_cpu(batch.attention_mask), ids, tokenizer);
}

// Where a selection is in a row's own text.
std::vector<std::int64_t> own_positions(const AxisIndices& columns, const RowTexts& texts, std::size_t row) {
  std::vector<std::int64_t> positions = columns[columns.size() == 1 ? 0 : row];
  for (std::int64_t& position : positions) position -= texts.begin[row];
  return positions;
}

std::vector<std::int64_t> all_positions(const RowTexts& texts, std::size_t row) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(texts.end[row] - texts.begin[row]));
  std::iota(positions.begin(), positions.end(), std::int64_t{0});
  return positions;
}

const UnitSelection* selection_of(const SideSelection& side, std::size_t representation) {
  if (side.for_all) return &side.units.front();
  return representation < side.units.size() ? &side.units[representation] : nullptr;
}

}  // namespace

JoinedCells::JoinedCells(const Experiment& shell, const PairRuns& runs, const models::LanguageModel& model)
    : runs_(runs), model_(model) {
  const RunRequest& request = shell.request;
  has_source_ = request.sources.size() == 1 && request.sources[0].has_value();
  const bool no_source = std::none_of(request.sources.begin(), request.sources.end(),
                                      [](const auto& source) { return source.has_value(); });
  possible_ = (has_source_ || no_source) && !request.collect_only && request.source_representations.empty() &&
              request.subspaces.empty() && shell.config_folder.empty();
  base_texts_ = texts_of(runs.clean(), model.tokenizer.get());
  sweep_.base = runs.clean();
  if (has_source_) {
    source_texts_ = texts_of(runs.corrupt(), model.tokenizer.get());
    sweep_.source = runs.corrupt();
  }
  sweep_.logit_positions = runs.logit_columns();
}

JoinedCells::Known JoinedCells::known(const IntervenableConfig& config) {
  // One that stands for several: what is listed for it is meant for all of them.
  const bool one_each = expanded(config, *model_.model).representations.size() == config.representations.size();
  if (config.mode != Mode::kParallel || !one_each) return std::nullopt;
  const auto interventions = build_interventions(config, *model_.model);
  bool source_used = false;
  for (std::size_t i = 0; i < interventions.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    const Site* site = model_.model->sites().try_find(representation.component, representation.layer);
    const Traits traits = interventions[i]->traits();
    const bool constant = interventions[i]->source_representation().defined();
    // What has parameters may begin at random, and then every experiment has its own.
    const bool fits = site != nullptr && site->stage >= 0 && (!site->part || interventions.size() == 1) &&
                      representation.unit != "t" && !representation.source_site && !traits.collects &&
                      !traits.takes_source && interventions[i]->parameters().empty() &&
                      (!traits.needs_source || constant || has_source_);
    if (!fits) return std::nullopt;
    source_used = source_used || (traits.needs_source && !constant);
  }
  if (has_source_ && !source_used) return std::nullopt;  // an experiment would be refused
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < interventions.size(); ++i) {
    RepresentationConfig representation = config.representations[i];
    const auto& types = config.intervention_types;
    if (representation.intervention_type.empty())
      representation.intervention_type = types.empty() ? "vanilla" : types.size() == 1 ? types[0] : types[i];
    if (representation.unit == "h") representation.unit = "h.pos";
    representation.group_key.reset();
    representation.intervention_link_key.reset();
    places.push_back(sweep_.config.representations.size());
    sweep_.config.representations.push_back(std::move(representation));
  }
  return places;
}

std::optional<std::vector<std::vector<CellWrite>>> JoinedCells::writes_of(
    const IntervenableConfig& config, const Locations& locations,
    const std::vector<std::size_t>& representations) const {
  const auto& hops = locations.hops;
  const auto hop = hops.find("sources->base");
  if (hops.size() > (hop == hops.end() ? 0U : 1U)) return std::nullopt;
  std::vector<std::vector<CellWrite>> rows(static_cast<std::size_t>(base_texts_.rows));
  for (std::size_t i = 0; i < representations.size(); ++i) {
    const RepresentationConfig& representation = config.representations[i];
    const UnitSelection* base = hop == hops.end() ? nullptr : selection_of(hop->second.base, i);
    const UnitSelection* source =
        hop == hops.end() || !hop->second.source ? nullptr : selection_of(*hop->second.source, i);
    const bool whole = base == nullptr || !base->has_value();
    const bool by_head = representation.unit != "pos", by_position = representation.unit != "h";
    if (whole && (by_head || (source != nullptr && source->has_value()))) return std::nullopt;
    const std::string where = "representations[" + std::to_string(i) + "]";
    const auto resolved = [&](const UnitSelection& selection, const RowTexts& texts, bool heads) -> AxisIndices {
      if (heads) {
        const Site& site = model_.model->sites().find(representation.component, representation.layer);
        return resolve_axis((*selection)[0], texts.rows, site.heads, Axis::kHead, where);
      }
      return resolve_positions((*selection)[by_head ? 1 : 0], texts, where);
    };
    AxisIndices heads, positions, from;
    if (!whole && by_head) heads = resolved(*base, base_texts_, true);
    if (!whole && by_position) positions = resolved(*base, base_texts_, false);
    if (source != nullptr && source->has_value()) {
      if (!has_source_) return std::nullopt;
      if (by_head && resolved(*source, source_texts_, true) != heads) return std::nullopt;
      if (by_position) from = resolved(*source, source_texts_, false);
    } else if (source == nullptr && has_source_ && !whole && by_position) {
      from = resolved(*base, source_texts_, false);
    }
    for (std::size_t row = 0; row < rows.size(); ++row) {
      CellWrite write;
      write.representation = representations[i];
      write.positions =
          positions.empty() ? all_positions(base_texts_, row) : own_positions(positions, base_texts_, row);
      if (!heads.empty()) write.heads = heads[heads.size() == 1 ? 0 : row];
      if (!from.empty()) write.source_positions = own_positions(from, source_texts_, row);
      if (positions.empty() && has_source_) write.source_positions = all_positions(source_texts_, row);
      if (write.positions.empty() || (by_head && write.heads.empty())) continue;  // the row is left alone
      rows[row].push_back(std::move(write));
    }
  }
  return rows;
}

bool JoinedCells::take(std::size_t cell, const std::string& written, const IntervenableConfig& config,
                       const Locations& locations) {
  if (!possible_) return false;
  const auto [found, is_new] = configs_.try_emplace(written);
  if (is_new) found->second = known(config);
  if (!found->second) return false;
  const auto rows = writes_of(config, locations, *found->second);
  if (!rows) return false;
  std::vector<std::optional<std::size_t>> places;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    const bool writes = !(*rows)[row].empty();
    places.push_back(writes ? std::optional(sweep_.cells.size()) : std::nullopt);
    if (writes) sweep_.cells.push_back({static_cast<std::int64_t>(row), (*rows)[row]});
  }
  cells_.emplace(cell, std::move(places));
  return true;
}

std::map<std::size_t, Tensor> JoinedCells::run(const SweepOptions& options) const {
  if (sweep_.cells.empty()) return {};
  const SweepResult result = run_sweep(sweep_, model_.model, runs_.metric(/*base_is_clean=*/true), options);
  std::map<std::size_t, Tensor> values;
  for (const auto& [cell, places] : cells_) {
    std::vector<Tensor> rows;
    for (std::size_t row = 0; row < places.size(); ++row)
      rows.push_back(places[row] ? result.values[static_cast<std::int64_t>(*places[row])]
                                 : result.background[static_cast<std::int64_t>(row)]);
    values.emplace(cell, torch::stack(rows));
  }
  return values;
}

}  // namespace vene::detail
