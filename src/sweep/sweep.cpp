// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/sweep.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "src/core/plan_data.h"
#include "src/engine/rows.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/hooks/hook_scope.h"
#include "vene/locations/gather.h"
#include "vene/models/trusted_batches.h"

namespace vene {
namespace {

RepresentationConfig collect(const std::string& component, std::int64_t layer) {
  RepresentationConfig representation;
  representation.component = component;
  representation.layer = layer;
  representation.intervention_type = "collect";
  return representation;
}

torch::Tensor to_device(const std::vector<std::int64_t>& list, torch::Device device) {
  return torch::tensor(list, torch::kInt64).to(device);
}

// What was collected of each row's own text, back in the columns of the batch; padding is zero.
torch::Tensor in_columns(const torch::Tensor& value, const models::Batch& batch) {
  if (!batch.attention_mask.defined()) return value;
  const torch::Tensor real = batch.attention_mask.to(value.device()).ne(0);
  const torch::Tensor place = (real.cumsum(1) - 1).clamp_min(0).unsqueeze(-1).expand({-1, -1, value.size(-1)});
  return torch::where(real.unsqueeze(-1), value.gather(1, place), torch::zeros({}, value.options()));
}

// How many positions a value with its heads apart has; 0 without that axis.
std::int64_t positions_of(const torch::Tensor& value, const Site& site) {
  const std::vector<Axis> axes = value_axes(site, value.dim());
  const auto found = std::find(axes.begin(), axes.end(), Axis::kPos);
  return found == axes.end() || value.dim() != static_cast<std::int64_t>(axes.size())
             ? 0
             : value.size(found - axes.begin());
}

// Each row's own text as columns of the batch; empty: no row is padded.
RowSpans own_columns(const RowTexts& texts) {
  return texts.padded() ? RowSpans{texts.begin, texts.end} : RowSpans{};
}

class Executor {
 public:
  Executor(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepRowMetric& metric,
           const SweepOptions& options)
      : sweep_(sweep),
        model_(std::move(model)),
        staged_(dynamic_cast<models::StagedModel*>(model_.get())),
        metric_(metric),
        options_(options) {
    if (staged_ == nullptr)
      throw PlanError("a sweep needs a model that can be cut into stages, and " + model_->architecture() + " cannot");
    const auto interventions = build_interventions(sweep.config, *model_);
    for (std::size_t i = 0; i < interventions.size(); ++i) {
      const RepresentationConfig& representation = sweep.config.representations[i];
      engine::Placement placement;
      placement.where = "representations[" + std::to_string(i) + "]";
      placement.site = model_->sites().find(representation.component, representation.layer);
      placement.unit = parse_unit(representation.unit, placement.where + ".unit");
      placement.intervention = interventions[i];
      if (placement.unit != Unit::kPos && placement.unit != Unit::kHeadPos)
        throw PlanError(placement.where + ".unit: a sweep takes 'pos' and 'h.pos', got '" + representation.unit + "'");
      if (interventions[i]->traits().collects)
        throw PlanError(placement.where + ": a sweep's cells write, and this intervention only collects");
      if (representation.source_site)
        throw PlanError(placement.where + ": a sweep's cells read where they write, and this one has a source_site");
      placements_.push_back(std::move(placement));
    }
    if (sweep.base.attention_mask.defined()) mask_ = sweep.base.attention_mask.to(torch::kCPU);
    logit_positions_ = sweep.logit_positions;
    if (logit_positions_.empty()) logit_positions_.push_back(sweep.base.positions() - 1);
    for (const std::int64_t position : logit_positions_) {
      if (position < 0 || position >= sweep.base.positions())
        throw PlanError("logit_positions: " + std::to_string(position) + " is no column of a batch of " +
                        std::to_string(sweep.base.positions()));
    }
  }

  SweepResult run() {
    SweepResult result;
    check_cells();
    take_source_values();
    run_source(result);
    rows_.emplace(*staged_, placements_, logit_positions_);
    make_jobs();
    run_background(result);
    order_jobs();
    std::vector<torch::Tensor> values(jobs_.size());
    const models::TrustedBatches checked;  // the cells' rows are those of the background's run
    for (std::size_t done = 0; done < order_.size();) {
      const std::size_t rows = batch_at(done);
      std::vector<const engine::Job*> batch;
      for (std::size_t i = 0; i < rows; ++i) batch.push_back(&jobs_[order_[done + i]]);
      // On a device the values stay there to the end, so that one batch is prepared while another is computed.
      SweepRows whose;
      for (const engine::Job* job : batch) whose.rows.push_back(job->row);
      const torch::Tensor chunk = metric_(rows_->logits(batch, base_), whose);
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
  void check_cells() const {
    for (const Cell& cell : sweep_.cells) {
      if (cell.writes.empty()) throw PlanError("a cell of the sweep has no writes");
      for (const CellWrite& write : cell.writes) {
        if (write.representation >= placements_.size())
          throw PlanError("a cell of the sweep writes to representation " + std::to_string(write.representation) +
                          ", there are " + std::to_string(placements_.size()));
        const Site& site = placements_[write.representation].site;
        if (site.stage < 0)
          throw PlanError("cells of a sweep write at or after the first block; " + site_text(site) +
                          " comes before it (use the background)");
      }
      check_parts(cell);
      if (cell.base_row < 0 || cell.base_row >= sweep_.base.rows())
        throw PlanError("a cell of the sweep is on base row " + std::to_string(cell.base_row) + ", there are " +
                        std::to_string(sweep_.base.rows()));
    }
  }

  // What is cut from another value is cut after all that happens to that one, whichever the config names first.
  void check_parts(const Cell& cell) const {
    for (const CellWrite& part : cell.writes) {
      const Site& site = placements_[part.representation].site;
      if (!site.part) continue;
      for (const CellWrite& whole : cell.writes) {
        const Site& other = placements_[whole.representation].site;
        if (other.id == site.part->whole && other.phase == site.part->phase)
          throw PlanError("a cell of the sweep writes at " + site_text(site) + " and at " + site_text(other) +
                          ", which that is cut from; put them in cells of their own");
      }
    }
  }

  // What stands in for the source's run.
  void take_source_values() {
    const std::size_t count = sweep_.source_values.size();
    if (count != 0 && count != placements_.size())
      throw PlanError("source_values: " + std::to_string(count) + " entries, expected one a representation (" +
                      std::to_string(placements_.size()) + ")");
    for (std::size_t i = 0; i < count; ++i) {
      const torch::Tensor& value = sweep_.source_values[i];
      if (!value.defined()) continue;
      engine::Placement& placement = placements_[i];
      if (!placement.intervention->traits().needs_source)
        throw PlanError("source_values[" + std::to_string(i) + "]: " + placement.where + " takes no source");
      const torch::Tensor given = split_heads(value.to(model_->device()), placement.site);
      if (value.dim() < 2 || (value.size(0) != 1 && value.size(0) != sweep_.base.rows()) ||
          positions_of(given, placement.site) == 0)
        throw PlanError("source_values[" + std::to_string(i) + "]: expected a value [1 or " +
                        std::to_string(sweep_.base.rows()) + ", positions, ...], got shape " +
                        shape_text(value.sizes()));
      placement.source = given;
    }
  }

  // The source once, with a hook wherever a cell reads.
  void run_source(SweepResult& result) {
    if (!sweep_.source) return;
    const models::Batch& source = *sweep_.source;
    if (source.rows() != 1 && source.rows() != sweep_.base.rows())
      throw PlanError("the source of a sweep is one row, or one for each of its " + std::to_string(sweep_.base.rows()) +
                      " base rows, got " + std::to_string(source.rows()));
    model_->check(source);
    const torch::Tensor mask =
        source.attention_mask.defined() ? source.attention_mask.to(torch::kCPU) : torch::Tensor();
    const RowTexts texts = RowTexts::of(source.primary(), mask, {}, /*tokenizer=*/nullptr);
    detail::check_mask(source, texts, "source");
    source_texts_ = texts_of_rows(source, mask);
    const RowSpans text = own_columns(texts);
    HookTable table;
    for (engine::Placement& placement : placements_) {
      const Traits traits = placement.intervention->traits();
      if (placement.source.defined()) continue;
      if (!traits.needs_source || placement.intervention->source_representation().defined()) continue;
      const auto keep = [&placement, &text, input = traits.source_is_module_input](const HookContext& context) {
        if (context.call > 0)
          throw PlanError(placement.where + ": " + site_text(placement.site) +
                          " fired more than once in the source's run, which a sweep cannot tell apart");
        if (input && context.inputs.empty())
          throw PlanError(placement.where + ": skip takes the input of the site's module, and this site has none");
        placement.source_text = text;
        placement.source = split_heads((input ? *context.inputs[0] : context.value()).clone(), placement.site);
      };
      table.on(placement.site.id, placement.site.phase, keep, site_text(placement.site));
    }
    if (table.empty()) throw PlanError("sources: a source is given, but no intervention of the sweep takes one");
    std::vector<std::int64_t> at{source.positions() - 1};
    if (!sweep_.logit_positions.empty() && source.positions() == sweep_.base.positions()) at = logit_positions_;
    const HookScope scope(table);
    models::StageState state = staged_->begin(source);
    state = staged_->run(std::move(state), 0, model_->layer_count());
    const models::Output output = staged_->finish(state, to_device(at, model_->device()));
    for (const engine::Placement& placement : placements_) {
      if (table.watches(placement.site.id) && scope.fire_count(placement.site.id, placement.site.phase) == 0)
        throw PlanError(placement.where + ": the model did not reach " + site_text(placement.site) + " in this run");
    }
    result.source = metric_(output.primary(), every_row(source.rows(), /*source=*/true)).to(torch::kCPU);
  }

  static SweepRows every_row(std::int64_t rows, bool source) {
    SweepRows every{source, std::vector<std::int64_t>(static_cast<std::size_t>(rows))};
    std::iota(every.rows.begin(), every.rows.end(), 0);
    return every;
  }

  static std::vector<RowTexts> texts_of_rows(const models::Batch& batch, const torch::Tensor& mask) {
    std::vector<RowTexts> texts;
    for (std::int64_t row = 0; row < batch.rows(); ++row) {
      const auto own = [row](const torch::Tensor& t) { return t.defined() ? t.narrow(0, row, 1) : t; };
      texts.push_back(RowTexts::of(own(batch.primary()), own(mask), {}, /*tokenizer=*/nullptr));
    }
    return texts;
  }

  // Columns of the source of a placement that a cell on a base row reads.
  std::vector<std::int64_t> source_columns(const std::vector<std::int64_t>& positions, std::size_t representation,
                                           std::int64_t base_row) const {
    const engine::Placement& placement = placements_[representation];
    const std::string where = placement.where + ", source";
    if (sweep_.source_values.empty() || !sweep_.source_values[representation].defined())
      return columns(positions, source_texts_[source_texts_.size() == 1 ? 0 : static_cast<std::size_t>(base_row)],
                     where);
    const std::int64_t has = positions_of(placement.source, placement.site);
    if (has == 1) return {0};
    for (const std::int64_t position : positions) {
      if (position < 0 || position >= has)
        throw LocationError(where + ": position " + std::to_string(position) + " is out of range: the value has " +
                            std::to_string(has) + " positions");
    }
    return positions;
  }

  std::vector<std::int64_t> columns(const std::vector<std::int64_t>& positions, const RowTexts& texts,
                                    const std::string& where) const {
    return resolve_positions(AxisSelection{{at(positions).selection}}, texts, where).front();
  }

  void make_jobs() {
    const std::vector<RowTexts> base_texts = texts_of_rows(sweep_.base, mask_);
    for (const Cell& cell : sweep_.cells) {
      engine::Job job{cell.base_row, {}};
      for (const CellWrite& write : cell.writes) {
        const engine::Placement& placement = placements_[write.representation];
        engine::Edit edit{write.representation, {}, write.heads, {}, write.subspace};
        edit.positions = columns(write.positions, base_texts[static_cast<std::size_t>(cell.base_row)], placement.where);
        if (placement.source.defined()) {
          const auto& from = write.source_positions.empty() ? write.positions : write.source_positions;
          edit.source_positions = source_columns(from, write.representation, cell.base_row);
          if (edit.source_positions.size() != edit.positions.size() && edit.source_positions.size() != 1)
            throw LocationError(placement.where + ": a cell reads " + std::to_string(edit.source_positions.size()) +
                                " positions of the source and writes " + std::to_string(edit.positions.size()));
        }
        job.edits.push_back(std::move(edit));
      }
      jobs_.push_back(std::move(job));
    }
  }

  // The base rows once, with the background at work: what goes into each stage that a cell enters at, and the keys and
  // values that it looks back at.
  void run_background(SweepResult& result) {
    std::set<std::int64_t> entries;
    for (const engine::Job& job : jobs_) entries.insert(rows_->first_stage(job));
    IntervenableConfig config = sweep_.background;
    RunRequest request;
    request.base = sweep_.base;
    request.base.attention_mask = mask_;  // compiling reads it
    request.source_representations = sweep_.background_sources;
    const std::size_t backgrounds = config.representations.size();
    request.source_representations.resize(backgrounds);
    for (const RepresentationConfig& representation : config.representations) {
      const Site& site = model_->sites().find(representation.component, representation.layer);
      if (!entries.empty() && site.stage >= *entries.begin())
        throw PlanError("the background writes at " + site_text(site) + ", and a cell of the sweep starts before it");
    }
    const std::int64_t blocks = model_->layer_count();
    for (const std::int64_t stage : entries) {
      config.add_intervention(stage < blocks ? collect("block_input", stage) : collect("block_output", blocks - 1));
      request.source_representations.emplace_back();
    }
    // The background's places first, then whole values for what is collected.
    HopSelection hop;
    if (auto found = sweep_.background_locations.hops.find("sources->base");
        found != sweep_.background_locations.hops.end())
      hop = found->second;
    SideSelection side;
    for (std::size_t i = 0; i < backgrounds; ++i)
      side.units.push_back(hop.base.for_all            ? hop.base.units[0]
                           : i < hop.base.units.size() ? hop.base.units[i]
                                                       : UnitSelection{});
    side.units.resize(config.representations.size());
    request.locations.hops["sources->base"] = {std::nullopt, side};
    RunOptions run_options;
    run_options.logit_positions = torch::tensor(logit_positions_, torch::kInt64);
    if (!model_->reads_ahead()) run_options.cache = &base_.past;
    if (config.representations.empty()) throw PlanError("the sweep has neither cells nor a background");
    const Plan plan = compile(config, model_, build_interventions(config, *model_), request);
    const models::TrustedBatches checked;  // by compiling
    const Result run = vene::run(plan, sweep_.base, {}, run_options);
    std::size_t i = 0;
    for (const std::int64_t stage : entries) base_.hidden[stage] = in_columns(run.collected[i++].value, sweep_.base);
    {
      const HooksDisabled undisturbed;
      const models::StageState state = staged_->begin(sweep_.base);
      base_.attention_mask = state.attention_mask;
      base_.position_ids = state.position_ids;
    }
    base_.positions = sweep_.base.positions();
    base_.texts = own_columns(RowTexts::of(sweep_.base.primary(), mask_, {}, /*tokenizer=*/nullptr));
    result.background =
        metric_(run.intervened.primary(), every_row(sweep_.base.rows(), /*source=*/false)).to(torch::kCPU);
  }

  // Cells of one position go together, in the order of their stages; those that share no batch come last.
  void order_jobs() {
    order_.resize(jobs_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    for (const engine::Job& job : jobs_) {
      entries_.push_back(rows_->entry(job, base_));
      alone_.push_back(rows_->runs_alone(job, base_));
    }
    const auto key = [this](std::size_t job) {
      return std::tuple(static_cast<bool>(alone_[job]), entries_[job].position, entries_[job].stage);
    };
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  }

  // How many of the ordered cells, from `first` on, make the next batch.
  std::size_t batch_at(std::size_t first) const {
    if (alone_[order_[first]]) return 1;
    const std::int64_t position = entries_[order_[first]].position;
    const std::size_t most = rows_per_batch(sweep_.base.positions() - position);
    std::size_t rows = 1;
    while (rows < most && first + rows < order_.size() && entries_[order_[first + rows]].position == position &&
           !alone_[order_[first + rows]])
      ++rows;
    return rows;
  }

  std::size_t rows_per_batch(std::int64_t positions) const {
    if (options_.rows_per_batch > 0) return static_cast<std::size_t>(options_.rows_per_batch);
    // A block keeps about a dozen times its input alive at its widest (four in the MLP, q, k, v and copies); the logits
    // and what the metric makes of them (in double precision) come on top.
    const auto bytes = static_cast<std::int64_t>(torch::elementSize(model_->dtype()));
    const std::int64_t a_row =
        positions * model_->hidden_size() * 12 * bytes +
        sweep_.base.positions() * model_->hidden_size() * 4 * bytes +  // keys and values looked back at
        static_cast<std::int64_t>(logit_positions_.size()) * model_->vocabulary_size() * (bytes + 16);
    constexpr std::int64_t kMost = 512;
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(options_.memory / std::max<std::int64_t>(a_row, 1), 1, kMost));
  }

  const Sweep& sweep_;
  std::shared_ptr<models::Model> model_;
  models::StagedModel* staged_;
  const SweepRowMetric& metric_;
  const SweepOptions& options_;
  std::vector<engine::Placement> placements_;
  torch::Tensor mask_;                  // the base's, on the CPU
  std::vector<RowTexts> source_texts_;  // of each source row
  std::vector<std::int64_t> logit_positions_;
  std::optional<engine::Rows> rows_;
  engine::BaseStates base_;
  std::vector<engine::Job> jobs_;
  std::vector<engine::Entry> entries_;
  std::vector<char> alone_;
  std::vector<std::size_t> order_;
};

}  // namespace

SweepResult run_sweep(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepMetric& metric,
                      const SweepOptions& options) {
  const SweepRowMetric of_rows = [&metric](const torch::Tensor& logits, const SweepRows&) { return metric(logits); };
  return run_sweep(sweep, std::move(model), of_rows, options);
}

SweepResult run_sweep(const Sweep& sweep, std::shared_ptr<models::Model> model, const SweepRowMetric& metric,
                      const SweepOptions& options) {
  return Executor(sweep, std::move(model), metric, options).run();
}

}  // namespace vene
