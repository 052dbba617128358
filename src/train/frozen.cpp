// SPDX-License-Identifier: Apache-2.0
#include "src/train/frozen.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "vene/io/safetensors.h"

namespace vene::train {
namespace {

using torch::Tensor;

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

FrozenValues::FrozenValues(IntervenableModel model, const ExampleSet& examples, std::int64_t group, std::int64_t bytes)
    : model_(std::move(model)),
      reader_(nullptr),
      read_(std::make_shared<std::vector<Tensor>>(model_->config().representations.size())),
      examples_(examples),
      limit_(bytes),
      place_(examples.size()) {
  reader_ = make_reader(*model_, read_);
  for (auto& some : examples.batches(group, std::nullopt)) {
    for (std::size_t row = 0; row < some.size(); ++row)
      place_[some[row]] = {groups_.size(), static_cast<std::int64_t>(row)};
    groups_.push_back({std::move(some), {}, ""});
  }
}

bool FrozenValues::fits(const IntervenableModelImpl& model) {
  const auto& representations = model.config().representations;
  // A recurrent cell gives a value a step, and what is kept is one value.
  const bool by_step = std::any_of(representations.begin(), representations.end(),
                                   [](const RepresentationConfig& r) { return r.unit == "t"; });
  // Attention's rows are exchanged by those of one length, and a value is noted once.
  const bool by_keys = std::any_of(representations.begin(), representations.end(), [&](const auto& r) {
    const Site* site = model.model()->sites().try_find(r.component, r.layer);
    return site != nullptr && !site->axes.empty() && site->axes.back() == Axis::kKey;
  });
  return dynamic_cast<const models::StagedModel*>(model.model().get()) != nullptr &&
         model.config().mode == Mode::kParallel && model.trained_parts().empty() && !by_step && !by_keys;
}

void FrozenValues::compute(Group& group) {
  const torch::NoGradGuard no_grad;
  const ExampleBatch batch = examples_.pick(group.examples);
  const std::int64_t stage = model_->compile(ExampleSet::for_compiling(batch)).first_stage().value_or(0);
  auto& staged = dynamic_cast<models::StagedModel&>(*model_->model());
  RunOptions options;
  NamedTensors values;
  if (stage > 0) {
    options.start = StartState{staged.run(staged.begin(batch.request.base), 0, stage), stage};
    const models::StageState& state = options.start->state;
    values.emplace_back("hidden", state.hidden);
    if (state.attention_mask.defined()) values.emplace_back("attention_mask", state.attention_mask);
    if (state.position_ids.defined())
      values.emplace_back("position_ids", state.position_ids.expand({state.hidden.size(0), -1}));
  }
  RunRequest request = batch.request;
  request.subspaces.clear();
  std::fill(read_->begin(), read_->end(), Tensor());
  reader_->forward(request, options);
  for (std::size_t i = 0; i < read_->size(); ++i) {
    if ((*read_)[i].defined()) values.emplace_back("source." + std::to_string(i), (*read_)[i]);
  }
  std::int64_t size = 0;
  for (auto& [name, tensor] : values) {
    tensor = tensor.clone().contiguous();
    size += static_cast<std::int64_t>(tensor.nbytes());
  }
  if (used_ + size <= limit_) {
    used_ += size;
    group.values = std::move(values);
    return;
  }
  if (!folder_) folder_.emplace("vene-values");
  group.file = (std::filesystem::path(folder_->path()) / (std::to_string(group.examples[0]) + ".safetensors")).string();
  io::write_safetensors(group.file, values);
}

NamedTensors FrozenValues::values(const Group& group) const {
  if (group.file.empty()) return group.values;
  return io::read_tensors(group.file);
}

NamedTensors FrozenValues::gathered(const std::vector<std::size_t>& examples) {
  // Rows group by group, then put into the order of the batch.
  std::map<std::size_t, std::vector<std::pair<std::int64_t, std::int64_t>>>
      wanted;  // group -> its rows, and where they go
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto [group, row] = place_.at(examples[i]);
    wanted[group].emplace_back(row, static_cast<std::int64_t>(i));
  }
  const torch::Device device = model_->model()->device();
  std::map<std::string, std::vector<Tensor>> parts;
  std::vector<std::string> names;
  Tensor order = torch::empty({static_cast<std::int64_t>(examples.size())}, torch::kInt64);
  std::int64_t at = 0;
  for (const auto& [number, rows] : wanted) {
    Group& group = groups_[number];
    if (group.values.empty() && group.file.empty()) compute(group);
    std::vector<std::int64_t> picked;
    for (const auto& [row, to] : rows) {
      picked.push_back(row);
      order[to] = at++;
    }
    const Tensor index = torch::tensor(picked, torch::kInt64), there = index.to(device);
    for (const auto& [name, tensor] : values(group)) {
      if (!parts.contains(name)) names.push_back(name);
      // What was in a file is on the CPU.
      parts[name].push_back(tensor.index_select(0, tensor.device() == device ? there : index).to(device));
    }
  }
  const Tensor there = order.to(device);
  NamedTensors all;
  for (const std::string& name : names) {
    all.emplace_back(name, torch::cat(parts[name], 0).index_select(0, there));
  }
  return all;
}

Result FrozenValues::run(const ExampleBatch& batch) {
  RunOptions options;
  options.logit_positions = batch.positions;
  const auto& sources = batch.request.sources;
  if (std::any_of(sources.begin(), sources.end(), [](const auto& source) { return !source; })) {
    return vene::run(model_->compile(ExampleSet::for_compiling(batch)), batch.request.base, sources, options);
  }
  RunRequest request = ExampleSet::for_compiling(batch);
  models::StageState state;
  std::vector<Tensor> read(read_->size());
  for (const auto& [name, tensor] : gathered(batch.rows)) {
    if (name == "hidden") state.hidden = tensor;
    if (name == "attention_mask") state.attention_mask = tensor;
    if (name == "position_ids") state.position_ids = tensor;
    if (name.starts_with("source.")) read[std::stoul(name.substr(7))] = tensor;
  }
  if (std::any_of(read.begin(), read.end(), [](const Tensor& value) { return value.defined(); })) {
    request.sources.clear();
    request.source_representations = std::move(read);
  }
  const Plan plan = model_->compile(request);
  if (state.hidden.defined()) options.start = StartState{state, plan.first_stage().value_or(0)};
  return vene::run(plan, batch.request.base, request.sources.empty() ? request.sources : sources, options);
}

}  // namespace vene::train
