// SPDX-License-Identifier: Apache-2.0
#include "src/train/locate_layer.h"

#include <torch/autograd.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "src/train/optimizer.h"
#include "src/train/shuffle.h"
#include "vene/base/error.h"
#include "vene/train/metrics.h"

namespace vene::detail {
namespace {

using torch::Tensor;

// A cell's start depends on the seed and its place alone, so that it is the same whichever cells are trained beside it.
Tensor start_of(std::uint64_t seed, std::int64_t layer, std::int64_t column, std::int64_t width) {
  const std::uint64_t place = seed * 1000003 + static_cast<std::uint64_t>(layer + 1) * 1009 + static_cast<std::uint64_t>(column);
  return torch::empty({width}).normal_(0, 1, at::make_generator<at::CPUGeneratorImpl>(place));
}

Tensor column_of(const LayerTrainer::Pairs& pairs, std::int64_t LayerTrainer::Pairs::value_type::*side, torch::Device device) {
  std::vector<std::int64_t> rows;
  for (const auto& pair : pairs) rows.push_back(pair.*side);
  return torch::tensor(rows, torch::kInt64).to(device);
}

}  // namespace

LayerTrainer::LayerTrainer(std::shared_ptr<models::Model> model, const NamedRows& rows, const LocateLayer& layer, std::vector<std::int64_t> columns, const LocateOptions& options)
    : model_(std::move(model)), rows_(rows), layer_(layer), columns_(std::move(columns)), options_(options), pairs_(options.batch) {
  const auto cells = static_cast<std::int64_t>(columns_.size());
  const torch::Device device = model_->device();
  InterventionSettings settings;
  settings.width = layer.values.size(2);
  settings.options = {{"count", cells}, {"seed", std::int64_t{0}}};
  bank_ = std::make_shared<Directions>(settings);
  {
    const torch::NoGradGuard no_grad;
    for (std::int64_t c = 0; c < cells; ++c) {
      const Tensor start = start_of(options.seed, layer.layer, columns_[static_cast<std::size_t>(c)], settings.width);
      bank_->directions[c].copy_(start / start.norm());
    }
  }
  bank_->to(device);

  const std::int64_t skipped = layer.start ? rows.batch_column(columns_.front()) : 0, kept = rows.batch.positions() - skipped;
  if (layer.start) {
    start_ = layer.start;
    models::StageState& state = start_->state;
    state.hidden = state.hidden.narrow(1, skipped, kept).contiguous();
    if (state.position_ids.defined()) state.position_ids = state.position_ids.narrow(1, skipped, kept);
    if (skipped > 0) past_.resize(static_cast<std::size_t>(start_->stage));
    for (std::size_t block = past_.size(); skipped > 0 && block < layer.past->layers.size(); ++block) {
      const auto& [keys, values] = layer.past->layers[block];
      past_.emplace_back(keys.narrow(2, 0, skipped).contiguous(), values.narrow(2, 0, skipped).contiguous());
    }
  }

  std::vector<std::vector<std::int64_t>> positions;
  std::vector<std::int64_t> cell, value_column;
  for (std::int64_t row = 0; row < cells * pairs_; ++row) {
    cell.push_back(row / pairs_);
    const std::int64_t column = columns_[static_cast<std::size_t>(row / pairs_)];
    value_column.push_back(column - rows.before);
    positions.push_back({rows.batch_column(column) - skipped});
  }
  cell_ = torch::tensor(cell, torch::kInt64).to(device);
  value_column_ = torch::tensor(value_column, torch::kInt64).to(device);
  // Rows are padded on the left, so that a cell is in one column of every row, whoever is in it: one plan serves every step.
  shape_.input_ids = rows.batch.input_ids.narrow(0, 0, 1).narrow(1, skipped, kept).expand({cells * pairs_, -1});
  RunRequest request;
  request.base = shape_;
  request.locations = per_row(positions);
  RepresentationConfig representation;
  representation.layer = layer.site.layer;
  representation.component = layer.site.component;
  representation.intervention = make_lambda([this](const Tensor& base, const Tensor&, const Subspace&) { return bank_->forward(base, source_, {cell_.unsqueeze(1), {}}); });
  IntervenableConfig config;
  config.add_intervention(representation);
  plan_ = compile(config, model_, build_interventions(config, *model_), request);
}

Tensor LayerTrainer::logits(const Tensor& bases, const Tensor& sources) {
  const auto cells = static_cast<std::int64_t>(columns_.size());
  const Tensor in_base = bases.repeat({cells});
  source_ = layer_.values.index({sources.repeat({cells}), value_column_}).unsqueeze(1);
  RunOptions run_options;
  models::Batch batch = shape_;
  models::KeyValueCache cache;
  if (start_) {
    run_options.start = StartState{start_->state.rows(in_base), start_->stage};
    for (const auto& [keys, values] : past_) {
      keys.defined() ? cache.layers.emplace_back(keys.index_select(0, in_base), values.index_select(0, in_base)) : cache.layers.emplace_back();
    }
    if (!past_.empty()) run_options.start->state.cache = &cache;
  } else {
    batch.input_ids = rows_.batch.input_ids.index_select(0, in_base);
    if (rows_.batch.attention_mask.defined()) batch.attention_mask = rows_.batch.attention_mask.index_select(0, in_base);
  }
  run_options.logit_positions = torch::tensor({shape_.positions() - 1}, torch::kInt64).to(model_->device());
  return run(*plan_, batch, {}, run_options).intervened.logits.select(1, 0);
}

void LayerTrainer::fit(const Pairs& pairs, const std::function<bool()>& progress) {
  const torch::Device device = model_->device();
  const Tensor bases = column_of(pairs, &Pairs::value_type::first, device), sources = column_of(pairs, &Pairs::value_type::second, device);
  const Tensor tokens = torch::tensor(rows_.answers, torch::kInt64).to(device).index_select(0, torch::tensor(rows_.classes, torch::kInt64).to(device));  // by name
  const auto cells = static_cast<std::int64_t>(columns_.size());
  torch::optim::Adam adam({bank_->directions}, torch::optim::AdamOptions(options_.rate));
  std::vector<std::int64_t> order;
  std::uint64_t round = 0;
  for (std::int64_t step = 0; step < options_.steps; ++step) {
    while (static_cast<std::int64_t>(order.size()) < pairs_) {
      std::vector<std::int64_t> more;
      for (std::int64_t i = 0; i < bases.numel(); ++i) more.push_back(i);
      shuffle(more, options_.seed + round++);
      order.insert(order.begin(), more.begin(), more.end());
    }
    const Tensor picked = torch::tensor(std::vector<std::int64_t>(order.end() - pairs_, order.end()), torch::kInt64).to(device);
    order.resize(order.size() - static_cast<std::size_t>(pairs_));
    const Tensor source = sources.index_select(0, picked);
    const Tensor wanted = tokens.index_select(0, source).repeat({cells}).unsqueeze(1);
    // The sum over cells of their own means: what a cell learns, and how fast, does not depend on how many are beside it.
    const Tensor loss = train::cross_entropy(logits(bases.index_select(0, picked), source).unsqueeze(1), wanted).sum() / static_cast<double>(pairs_);
    if (!std::isfinite(loss.item<double>())) {
      throw PlanError("locate: the loss is not a number at step " + std::to_string(step) + " of layer " + std::to_string(layer_.layer) + "; a lower rate may help");
    }
    bank_->directions.mutable_grad() = torch::autograd::grad({loss}, {bank_->directions})[0];
    train::set_learning_rate(adam, options_.rate * (1 - static_cast<double>(step) / static_cast<double>(options_.steps)));
    adam.step();
    {
      const torch::NoGradGuard no_grad;
      bank_->directions.div_(bank_->directions.norm(2, {1}, true));
    }
    if (!progress()) throw PlanError("locate: cancelled");
  }
}

Tensor LayerTrainer::evaluate(const Pairs& pairs) {
  const torch::NoGradGuard no_grad;
  const torch::Device device = model_->device();
  const auto cells = static_cast<std::int64_t>(columns_.size()), count = static_cast<std::int64_t>(pairs.size());
  const Tensor bases = column_of(pairs, &Pairs::value_type::first, device), sources = column_of(pairs, &Pairs::value_type::second, device);
  const Tensor answers = torch::tensor(rows_.answers, torch::kInt64).to(device), classes = torch::tensor(rows_.classes, torch::kInt64).to(device);
  Tensor right = torch::zeros({cells}, torch::TensorOptions(torch::kFloat64).device(device));
  for (std::int64_t from = 0; from < count; from += pairs_) {
    // The plan is for so many rows: the last batch is filled up with pairs that do not count.
    const Tensor picked = torch::arange(from, from + pairs_, torch::kInt64).remainder(count).to(device);
    const Tensor source = sources.index_select(0, picked);
    const Tensor best = logits(bases.index_select(0, picked), source).index_select(1, answers).argmax(1).view({cells, pairs_});
    right += (best == classes.index_select(0, source).unsqueeze(0)).narrow(1, 0, std::min(pairs_, count - from)).sum(1);
  }
  return (right / static_cast<double>(count)).to(torch::kCPU);
}

}  // namespace vene::detail
