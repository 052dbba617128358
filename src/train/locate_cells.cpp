// SPDX-License-Identifier: Apache-2.0
#include "src/train/locate_cells.h"

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
  const std::uint64_t place =
      seed * 1000003 + static_cast<std::uint64_t>(layer + 1) * 1009 + static_cast<std::uint64_t>(column);
  return torch::empty({width}).normal_(0, 1, at::make_generator<at::CPUGeneratorImpl>(place));
}

Tensor side_of(const CellTrainer::Pairs& pairs, std::int64_t CellTrainer::Pairs::value_type::*side,
               torch::Device device) {
  std::vector<std::int64_t> rows;
  for (const auto& pair : pairs) rows.push_back(pair.*side);
  return torch::tensor(rows, torch::kInt64).to(device);
}

// [steps, pairs of a step]: which pairs are taken, all of them in a new order each round.
Tensor picked_pairs(std::int64_t pairs, const LocateOptions& options) {
  const auto at_once = static_cast<std::size_t>(options.batch);
  std::vector<std::int64_t> order, all;
  std::uint64_t round = 0;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    while (order.size() < at_once) {
      std::vector<std::int64_t> more;
      for (std::int64_t i = 0; i < pairs; ++i) more.push_back(i);
      shuffle(more, options.seed + round++);
      order.insert(order.begin(), more.begin(), more.end());
    }
    all.insert(all.end(), order.end() - static_cast<std::ptrdiff_t>(at_once), order.end());
    order.resize(order.size() - at_once);
  }
  return torch::tensor(all, torch::kInt64).view({options.steps, options.batch});
}

}  // namespace

CellTrainer::CellTrainer(models::StagedModel& model, const NamedRows& names, const LocateValues& values,
                         std::vector<std::size_t> rows, std::int64_t column, const LocateOptions& options)
    : model_(model),
      names_(names),
      values_(values),
      rows_(std::move(rows)),
      begin_(names.batch_column(column)),
      options_(options) {
  const torch::Device device = model_.device();
  InterventionSettings settings;
  settings.width = row(0).values.size(2);
  settings.options = {{"count", static_cast<std::int64_t>(rows_.size())}, {"seed", std::int64_t{0}}};
  bank_ = std::make_shared<Directions>(settings);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Tensor start = start_of(options.seed, row(i).layer, column, settings.width);
    bank_->directions[static_cast<std::int64_t>(i)].copy_(start / start.norm());
    hidden_.push_back(row(i).hidden.narrow(1, begin_, names.batch.positions() - begin_).contiguous());
    hooks_at_end_ = hooks_at_end_ || (!row(i).at_entry && row(i).stage == model_.layer_count());
  }
  bank_->to(device);
  for (const auto& [keys, seen] : values.past.layers) {
    if (begin_ > 0) past_.emplace_back(keys.narrow(2, 0, begin_).contiguous(), seen.narrow(2, 0, begin_).contiguous());
  }
  answers_ = torch::tensor(names.answers, torch::kInt64).to(device);
  classes_ = torch::tensor(names.classes, torch::kInt64).to(device);
  numbers_ = torch::arange(std::max(static_cast<std::int64_t>(rows_.size()), names.batch.positions()),
                           torch::TensorOptions(torch::kInt64).device(device));
}

Tensor CellTrainer::exchanged(const Tensor& values, std::size_t index, const Tensor& sources) {
  const Tensor source = row(index).values.select(1, begin_).index_select(0, sources);
  const Tensor direction = numbers_.narrow(0, static_cast<std::int64_t>(index), 1);
  const auto cell = [&](const Tensor& value) { return looked_into(value, row(index).site, options_).narrow(1, 0, 1); };
  Tensor result = values.clone();
  cell(result).copy_(bank_->forward(cell(values), source.unsqueeze(1), {direction, {}}));
  return result;
}

Tensor CellTrainer::logits(const Tensor& bases, const Tensor& sources) {
  const std::int64_t pairs = bases.numel(), blocks = model_.layer_count(), kept = names_.batch.positions() - begin_;
  models::StageState state;
  Tensor in_base;
  std::size_t entered = 0, hooks_reached = 0, hooks_set = 0;
  for (std::int64_t stage = row(0).stage;; ++stage) {
    // The rows that enter at this stage join the others, and are the last of them.
    HookTable hooks;
    for (; entered < rows_.size() && row(entered).stage == stage; ++entered) {
      Tensor fresh = hidden_[entered].index_select(0, bases);
      if (row(entered).at_entry) {
        fresh = exchanged(fresh, entered, sources);
      } else {
        ++hooks_set;
        const Site& site = row(entered).site;
        hooks.on(
            site.id, site.phase,
            [this, index = entered, pairs, sources, &hooks_reached](const HookContext& context) {
              const Tensor& value = context.value();
              const std::int64_t first = static_cast<std::int64_t>(index) * pairs, after = first + pairs;
              context.value() =
                  torch::cat({value.narrow(0, 0, first), exchanged(value.narrow(0, first, pairs), index, sources),
                              value.narrow(0, after, value.size(0) - after)},
                             0);
              ++hooks_reached;
            },
            site_text(site));
      }
      const std::int64_t present =
          entered == 0 ? kept
                       : state.hidden.size(1);  // the last position alone, where the last block leaves the others out
      state.hidden = entered == 0 ? fresh : torch::cat({state.hidden, fresh.narrow(1, kept - present, present)}, 0);
    }
    const HookScope scope(hooks);
    if (stage == blocks) {
      const Tensor last = numbers_.narrow(0, state.hidden.size(1) - 1, 1);
      const Tensor result = model_.finish(state, last, answers_).logits.select(1, 0);
      if (hooks_reached != hooks_set) {
        throw PlanError("locate: " + options_.component + " was reached " + std::to_string(hooks_reached) +
                        " times in a run, expected " + std::to_string(hooks_set));
      }
      return result;
    }
    if (const std::int64_t rows = state.hidden.size(0); !in_base.defined() || in_base.numel() != rows) {
      in_base = bases.repeat({rows / pairs});
      const models::StageState& all = values_.state;
      if (all.attention_mask.defined()) state.attention_mask = all.attention_mask.index_select(0, in_base);
      if (all.position_ids.defined())
        state.position_ids = all.position_ids.index_select(0, in_base).narrow(1, begin_, kept);
    }
    models::KeyValueCache past;
    if (!past_.empty()) {
      past.layers.resize(static_cast<std::size_t>(blocks));
      const auto& [keys, seen] = past_[static_cast<std::size_t>(stage)];
      past.layers[static_cast<std::size_t>(stage)] = {keys.index_select(0, in_base), seen.index_select(0, in_base)};
      state.cache = &past;
    }
    state.wanted = hooks_at_end_ ? 0 : 1;
    state = model_.run(std::move(state), stage, stage + 1);
    state.cache = nullptr;
  }
}

void CellTrainer::fit(const Pairs& pairs, const std::function<bool()>& progress) {
  const torch::Device device = model_.device();
  const Tensor bases = side_of(pairs, &Pairs::value_type::first, device),
               sources = side_of(pairs, &Pairs::value_type::second, device);
  const auto rows = static_cast<std::int64_t>(rows_.size()), at_once = options_.batch;
  torch::optim::Adam adam({bank_->directions}, torch::optim::AdamOptions(options_.rate));
  // The pairs of every step go to the device at once, and how the losses came out is read there now and then.
  const Tensor picks = picked_pairs(bases.numel(), options_).to(device);
  constexpr std::int64_t kReadEvery = 64;
  std::vector<Tensor> losses;
  const auto check_losses = [&](std::int64_t next) {
    const Tensor read = torch::stack(losses).to(torch::kCPU);
    for (std::int64_t i = 0; i < read.numel(); ++i) {
      if (!std::isfinite(read[i].item<double>()))
        throw PlanError("locate: the loss is not a number at step " + std::to_string(next - read.numel() + i) +
                        "; a lower rate may help");
    }
    losses.clear();
  };
  for (std::int64_t step = 0; step < options_.steps; ++step) {
    const Tensor picked = picks[step];
    const Tensor source = sources.index_select(0, picked);
    const Tensor wanted = classes_.index_select(0, source).repeat({rows}).unsqueeze(1);
    // The sum over cells of their own means: what a cell learns, and how fast, does not depend on how many are beside
    // it.
    const Tensor loss = train::cross_entropy(logits(bases.index_select(0, picked), source).unsqueeze(1), wanted).sum() /
                        static_cast<double>(at_once);
    losses.push_back(loss.detach());
    if (device.is_cpu() || step + 1 == options_.steps || (step + 1) % kReadEvery == 0) check_losses(step + 1);
    bank_->directions.mutable_grad() = torch::autograd::grad({loss}, {bank_->directions})[0];
    train::set_learning_rate(adam,
                             options_.rate * (1 - static_cast<double>(step) / static_cast<double>(options_.steps)));
    adam.step();
    {
      const torch::NoGradGuard no_grad;
      bank_->directions.div_(bank_->directions.norm(2, {1}, true));
    }
    if (!progress()) throw PlanError("locate: cancelled");
  }
}

Tensor CellTrainer::evaluate(const Pairs& pairs) {
  constexpr std::int64_t kAtOnce = 64;
  const torch::NoGradGuard no_grad;
  const auto rows = static_cast<std::int64_t>(rows_.size()), count = static_cast<std::int64_t>(pairs.size());
  const Tensor bases = side_of(pairs, &Pairs::value_type::first, model_.device()),
               sources = side_of(pairs, &Pairs::value_type::second, model_.device());
  Tensor right = torch::zeros({rows}, torch::TensorOptions(torch::kFloat64).device(model_.device()));
  for (std::int64_t from = 0; from < count; from += kAtOnce) {
    const std::int64_t some = std::min(kAtOnce, count - from);
    const Tensor source = sources.narrow(0, from, some);
    const Tensor best = logits(bases.narrow(0, from, some), source).argmax(1).view({rows, some});
    right += (best == classes_.index_select(0, source).unsqueeze(0)).sum(1);
  }
  return (right / static_cast<double>(count)).to(torch::kCPU);
}

}  // namespace vene::detail
