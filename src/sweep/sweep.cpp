// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/sweep.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "vene/base/error.h"
#include "vene/hooks/hook_scope.h"
#include "vene/locations/gather.h"
#include "vene/models/trusted_batches.h"

namespace vene {
namespace {

// What the cells share: the source's values and the base rows' states before each block.
struct Shared {
  std::vector<torch::Tensor> source_values;      // by representation: [1, pos, width], undefined if no source is read
  std::map<std::int64_t, torch::Tensor> hidden;  // residual stream before a block, by stage
  models::StageState base;                       // mask and positions of the base rows
};

RepresentationConfig collect(const std::string& component, std::int64_t layer) {
  RepresentationConfig representation;
  representation.component = component;
  representation.layer = layer;
  representation.intervention_type = "collect";
  return representation;
}

class Executor {
 public:
  Executor(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepMetric& metric,
           const SweepOptions& options)
      : sweep_(sweep),
        model_(std::move(model)),
        staged_(dynamic_cast<models::StagedModel*>(model_.get())),
        metric_(metric),
        options_(options) {
    if (staged_ == nullptr)
      throw PlanError("a sweep needs a model that can be cut into stages, and " + model_->architecture() + " cannot");
    interventions_ = build_interventions(sweep.config, *model_);
    for (const RepresentationConfig& representation : sweep.config.representations)
      sites_.push_back(model_->sites().find(representation.component, representation.layer));
    std::vector<std::int64_t> positions = sweep.logit_positions;
    if (positions.empty()) positions.push_back(sweep.base.positions() - 1);
    logit_positions_ = torch::tensor(positions, torch::kInt64);
    if (sweep.base.attention_mask.defined()) mask_ = sweep.base.attention_mask.to(torch::kCPU);
  }

  SweepResult run() {
    SweepResult result;
    order_cells();
    run_source(result);
    run_background(result);
    std::vector<torch::Tensor> values(sweep_.cells.size());
    const models::TrustedBatches checked;  // the cells' rows are those of the background's run
    for (std::size_t done = 0; done < order_.size();) {
      const std::size_t rows = std::min<std::size_t>(rows_per_batch(), order_.size() - done);
      // On a device the values stay there to the end, so that one batch is prepared while another is computed.
      const torch::Tensor chunk = run_chunk(std::span(order_).subspan(done, rows));
      for (std::size_t i = 0; i < rows; ++i) values[order_[done + i]] = chunk[static_cast<std::int64_t>(i)];
      done += rows;
      if (options_.progress && !options_.progress(done, order_.size()))
        throw PlanError("the sweep was cancelled after " + std::to_string(done) + " of " +
                        std::to_string(order_.size()) + " cells");
    }
    if (!values.empty()) result.values = torch::stack(values).to(torch::kCPU);
    return result;
  }

 private:
  // The block that a cell must start before: that of its first write.
  std::int64_t first_stage(const Cell& cell) const {
    std::int64_t first = model_->layer_count() - 1;
    for (const CellWrite& write : cell.writes)
      first = std::min(first, std::max<std::int64_t>(sites_.at(write.representation).stage, 0));
    return first;
  }

  // Cells that enter at the same block go together.
  void order_cells() {
    for (const Cell& cell : sweep_.cells) {
      if (cell.writes.empty()) throw PlanError("a cell of the sweep has no writes");
      for (const CellWrite& write : cell.writes) {
        if (write.representation >= sites_.size())
          throw PlanError("a cell of the sweep writes to representation " + std::to_string(write.representation) +
                          ", there are " + std::to_string(sites_.size()));
        if (sites_[write.representation].stage < 0)
          throw PlanError("cells of a sweep write at or after the first block; " +
                          site_text(sites_[write.representation]) + " comes before it (use the background)");
      }
      if (cell.base_row < 0 || cell.base_row >= sweep_.base.rows())
        throw PlanError("a cell of the sweep is on base row " + std::to_string(cell.base_row) + ", there are " +
                        std::to_string(sweep_.base.rows()));
    }
    order_.resize(sweep_.cells.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return first_stage(sweep_.cells[a]) < first_stage(sweep_.cells[b]);
    });
    for (const Cell& cell : sweep_.cells) {
      entries_.insert(first_stage(cell));
    }
  }

  void run_source(SweepResult& result) {
    shared_.source_values.resize(sites_.size());
    if (!sweep_.source) return;
    if (sweep_.source->rows() != 1)
      throw PlanError("the source of a sweep is one row, got " + std::to_string(sweep_.source->rows()));
    IntervenableConfig config;
    std::vector<std::size_t> wanted;
    for (std::size_t r = 0; r < sites_.size(); ++r) {
      if (!interventions_[r]->traits().needs_source || interventions_[r]->source_representation().defined()) continue;
      config.add_intervention(
          collect(sweep_.config.representations[r].component, sweep_.config.representations[r].layer));
      wanted.push_back(r);
    }
    if (wanted.empty()) throw PlanError("sources: a source is given, but no intervention of the sweep takes one");
    RunRequest request;
    request.base = *sweep_.source;
    RunOptions run_options;
    run_options.logit_positions = torch::tensor({sweep_.source->positions() - 1}, torch::kInt64);
    if (!sweep_.logit_positions.empty() && sweep_.source->positions() == sweep_.base.positions())
      run_options.logit_positions = logit_positions_;
    const Result clean = vene::run(compile(config, model_, build_interventions(config, *model_), request), request.base,
                                   {}, run_options);
    for (std::size_t i = 0; i < wanted.size(); ++i) shared_.source_values[wanted[i]] = clean.collected[i].value;
    result.source = metric_(clean.intervened.logits).to(torch::kCPU);
  }

  void run_background(SweepResult& result) {
    IntervenableConfig config = sweep_.background;
    RunRequest request;
    request.base = sweep_.base;
    request.source_representations = sweep_.background_sources;
    const std::size_t backgrounds = config.representations.size();
    request.source_representations.resize(backgrounds);
    Locations locations = sweep_.background_locations;
    for (std::int64_t stage : entries_) {
      config.add_intervention(collect("block_input", stage));
      request.source_representations.emplace_back();
    }
    // The background's places first, then whole values for what is collected.
    HopSelection hop;
    if (auto found = locations.hops.find("sources->base"); found != locations.hops.end()) hop = found->second;
    SideSelection side;
    for (std::size_t i = 0; i < backgrounds; ++i)
      side.units.push_back(hop.base.for_all            ? hop.base.units[0]
                           : i < hop.base.units.size() ? hop.base.units[i]
                                                       : UnitSelection{});
    side.units.resize(config.representations.size());
    request.locations.hops["sources->base"] = {std::nullopt, side};
    RunOptions run_options;
    run_options.logit_positions = logit_positions_;
    const Result run = vene::run(compile(config, model_, build_interventions(config, *model_), request), request.base,
                                 {}, run_options);
    std::size_t i = 0;
    for (std::int64_t stage : entries_) shared_.hidden[stage] = run.collected[i++].value;
    {
      const HooksDisabled undisturbed;
      shared_.base = staged_->begin(sweep_.base);
    }
    shared_.base.hidden = torch::Tensor();
    result.background = metric_(run.intervened.logits).to(torch::kCPU);
  }

  std::size_t rows_per_batch() const {
    if (options_.rows_per_batch > 0) return static_cast<std::size_t>(options_.rows_per_batch);
    // A block keeps about a dozen times its input alive at its widest (four in the MLP, q, k, v and copies).
    const std::int64_t a_row = sweep_.base.positions() * model_->hidden_size() * 12 *
                               static_cast<std::int64_t>(torch::elementSize(model_->dtype()));
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(options_.memory / std::max<std::int64_t>(a_row, 1), 1, 128));
  }

  torch::Tensor run_chunk(std::span<const std::size_t> cells) {
    const auto rows = static_cast<std::int64_t>(cells.size());
    const std::int64_t stage = first_stage(sweep_.cells[cells.front()]);
    std::vector<std::int64_t> base_rows;
    for (std::size_t cell : cells) base_rows.push_back(sweep_.cells[cell].base_row);
    const torch::Tensor chosen = torch::tensor(base_rows, torch::kInt64), picked = chosen.to(model_->device());

    // One representation of the sweep's config for each that these cells use; a row's list is empty where its cell does
    // not write.
    std::map<std::size_t, std::vector<const CellWrite*>> used;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (const CellWrite& write : sweep_.cells[cells[row]].writes) {
        auto& by_row = used[write.representation];
        by_row.resize(cells.size(), nullptr);
        if (by_row[row] != nullptr)
          throw PlanError("a cell of the sweep writes to representation " + std::to_string(write.representation) +
                          " twice; list the positions together");
        by_row[row] = &write;
      }
    }
    IntervenableConfig config;
    config.mode = sweep_.config.mode;
    std::vector<std::shared_ptr<Intervention>> interventions;
    RunRequest request;
    SideSelection side;
    for (const auto& [representation, by_row] : used) {
      RepresentationConfig entry = sweep_.config.representations[representation];
      entry.intervention_type = sweep_.config.type_of(representation);
      entry.group_key.reset();
      config.representations.push_back(entry);
      interventions.push_back(interventions_[representation]);
      side.units.push_back(units_of(representation, by_row, /*source=*/false));
      request.source_representations.push_back(source_of(representation, by_row));
    }
    request.locations.hops["sources->base"] = {std::nullopt, side};
    auto rows_of = [&](const torch::Tensor& tensor) {
      return tensor.defined() ? tensor.index_select(0, picked) : tensor;
    };
    request.base = {
        rows_of(sweep_.base.input_ids), rows_of(sweep_.base.attention_mask), rows_of(sweep_.base.inputs_embeds), {}};
    RunOptions run_options;
    models::StageState state = shared_.base;
    state.hidden = rows_of(shared_.hidden.at(stage));
    state.attention_mask = rows_of(state.attention_mask);
    state.position_ids = rows_of(state.position_ids);
    run_options.start = StartState{std::move(state), stage};
    run_options.logit_positions = logit_positions_;
    models::Batch base = request.base;
    if (mask_.defined()) request.base.attention_mask = mask_.index_select(0, chosen);  // compiling reads it
    return metric_(vene::run(compile(config, model_, interventions, request), base, {}, run_options).intervened.logits);
  }

  static AxisSelection axis_of(const std::vector<const CellWrite*>& by_row,
                               std::vector<std::int64_t> CellWrite::*list) {
    AxisSelection axis;
    for (const CellWrite* write : by_row)
      axis.rows.push_back(write == nullptr ? RowSelection{} : at(write->*list).selection);
    return axis;
  }

  std::vector<AxisSelection> units_of(std::size_t representation, const std::vector<const CellWrite*>& by_row,
                                      bool source) const {
    std::vector<AxisSelection> axes;
    if (sweep_.config.representations[representation].unit == "h.pos")
      axes.push_back(axis_of(by_row, &CellWrite::heads));
    const bool own = source && std::any_of(by_row.begin(), by_row.end(), [](const CellWrite* write) {
                       return write != nullptr && !write->source_positions.empty();
                     });
    axes.push_back(axis_of(by_row, own ? &CellWrite::source_positions : &CellWrite::positions));
    return axes;
  }

  // [rows, units, width]: each row's own places in the source's one row.
  torch::Tensor source_of(std::size_t representation, const std::vector<const CellWrite*>& by_row) const {
    const torch::Tensor& value = shared_.source_values[representation];
    if (!value.defined()) return {};
    const Site& site = sites_[representation];
    const std::vector<AxisSelection> selection = units_of(representation, by_row, /*source=*/true);
    AxisIndices first, second;
    auto indices = [](const AxisSelection& axis) {
      AxisIndices plain;
      for (const RowSelection& row : axis.rows) {
        std::vector<std::int64_t> list;
        for (const Selector& selector : row) list.push_back(selector.begin);
        plain.push_back(std::move(list));
      }
      return plain;
    };
    first = indices(selection[0]);
    if (selection.size() == 2) second = indices(selection[1]);
    const UnitIndex index(value_axes(site, value.dim()), value.sizes().vec(),
                          selection.size() == 2 ? Unit::kHeadPos : Unit::kPos, first, second,
                          static_cast<std::int64_t>(by_row.size()), value.device(),
                          "source of representations[" + std::to_string(representation) + "]");
    return index.gather(value);
  }

  const Sweep& sweep_;
  std::shared_ptr<models::Model> model_;
  models::StagedModel* staged_;
  const SweepMetric& metric_;
  const SweepOptions& options_;
  std::vector<std::shared_ptr<Intervention>> interventions_;
  std::vector<Site> sites_;
  std::vector<std::size_t> order_;
  std::set<std::int64_t> entries_;
  torch::Tensor logit_positions_;  // and the base's mask, on the CPU
  torch::Tensor mask_;
  Shared shared_;
};

}  // namespace

SweepResult run_sweep(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepMetric& metric,
                      const SweepOptions& options) {
  return Executor(sweep, std::move(model), metric, options).run();
}

}  // namespace vene
