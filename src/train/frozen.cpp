// SPDX-License-Identifier: Apache-2.0
#include "src/train/frozen.h"

#include <torch/types.h>
#include <torch/utils.h>

namespace vene::train {
namespace {

using torch::Tensor;

std::int64_t size_of(const Tensor& tensor) { return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0; }
Tensor row_of(const Tensor& tensor, std::int64_t row) { return tensor.defined() ? tensor.slice(0, row, row + 1).clone() : Tensor(); }

// The same config, each intervention that takes a source replaced by one that notes it and changes nothing.
IntervenableModel make_reader(const IntervenableModelImpl& model, const std::shared_ptr<std::vector<Tensor>>& read) {
  IntervenableConfig config = model.config();
  for (std::size_t i = 0; i < config.representations.size(); ++i) {
    RepresentationConfig& r = config.representations[i];
    r.intervention = model.interventions()[i];
    r.intervention_link_key.reset();
    const Traits traits = r.intervention->traits();
    if (!traits.needs_source || r.intervention->source_representation().defined()) continue;
    Traits reads;
    reads.source_is_module_input = traits.source_is_module_input;
    r.intervention = make_lambda(
        [read, i](const Tensor&, const Tensor& source, const Subspace&) {
          (*read)[i] = source.detach();
          return Tensor();
        },
        reads);
  }
  return IntervenableModel(std::move(config), model.model());
}

}  // namespace

FrozenValues::FrozenValues(IntervenableModel model, std::int64_t bytes)
    : model_(std::move(model)),
      reader_(nullptr),
      read_(std::make_shared<std::vector<Tensor>>(model_->config().representations.size())),
      limit_(bytes) {
  reader_ = make_reader(*model_, read_);
}

bool FrozenValues::fits(const IntervenableModelImpl& model) {
  return dynamic_cast<const models::StagedModel*>(model.model().get()) != nullptr && model.config().mode == Mode::kParallel && model.trained_parts().empty();
}

bool FrozenValues::keep(const ExampleBatch& batch, std::int64_t stage) {
  if (full_ || std::any_of(batch.request.sources.begin(), batch.request.sources.end(), [](const auto& source) { return !source; })) return false;
  const torch::NoGradGuard no_grad;
  auto& staged = dynamic_cast<models::StagedModel&>(*model_->model());
  RunOptions options;
  if (stage > 0) options.start = StartState{staged.run(staged.begin(batch.request.base), 0, stage), stage};
  RunRequest request = batch.request;
  request.subspaces.clear();
  std::fill(read_->begin(), read_->end(), Tensor());
  reader_->forward(request, options);
  std::unordered_map<std::size_t, Kept> fresh;
  std::int64_t size = 0;
  const auto rows = static_cast<std::int64_t>(batch.rows.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::size_t example = batch.rows[static_cast<std::size_t>(row)];
    if (kept_.contains(example)) continue;
    Kept& kept = fresh[example];
    if (stage > 0) {
      const models::StageState& state = options.start->state;
      kept.state.hidden = row_of(state.hidden, row);
      kept.state.attention_mask = row_of(state.attention_mask, row);
      if (state.position_ids.defined()) kept.state.position_ids = row_of(state.position_ids.expand({rows, -1}), row);
    }
    size += size_of(kept.state.hidden) + size_of(kept.state.attention_mask) + size_of(kept.state.position_ids);
    for (const Tensor& source : *read_) {
      kept.sources.push_back(row_of(source, row));
      size += size_of(kept.sources.back());
    }
  }
  full_ = used_ + size > limit_;
  if (full_) return false;
  used_ += size;
  kept_.merge(fresh);
  return true;
}

Result FrozenValues::run(const ExampleBatch& batch) {
  RunOptions options;
  options.logit_positions = batch.positions.to(model_->model()->device());
  const Plan whole = model_->compile(batch.request);
  const std::int64_t stage = whole.first_stage().value_or(0);
  for (const std::size_t row : batch.rows) {
    if (kept_.contains(row)) continue;
    if (!keep(batch, stage)) return vene::run(whole, batch.request.base, batch.request.sources, options);
    break;
  }
  auto stacked = [&](auto pick) {
    std::vector<Tensor> rows;
    for (const std::size_t row : batch.rows) rows.push_back(pick(kept_.at(row)));
    return rows[0].defined() ? torch::cat(rows, 0) : Tensor();
  };
  RunRequest request = batch.request;
  request.sources.clear();
  bool any = false;
  for (std::size_t i = 0; i < read_->size(); ++i) {
    request.source_representations.push_back(stacked([i](const Kept& kept) { return kept.sources[i]; }));
    any = any || request.source_representations.back().defined();
  }
  if (!any) request.source_representations.clear();
  if (stage > 0) {
    std::vector<models::StageState> states;
    for (const std::size_t row : batch.rows) states.push_back(kept_.at(row).state);
    models::StageState state;
    if (states[0].position_ids.defined()) {
      state = models::StageState::joined(states);
    } else {
      state.hidden = stacked([](const Kept& kept) { return kept.state.hidden; });
    }
    options.start = StartState{state, stage};
  }
  return vene::run(model_->compile(request), request.base, {}, options);
}

}  // namespace vene::train
