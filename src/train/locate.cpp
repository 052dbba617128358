// SPDX-License-Identifier: Apache-2.0
#include "vene/train/locate.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <limits>
#include <set>

#include "src/train/locate_layer.h"
#include "src/train/probe.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using detail::LayerTrainer;
using detail::LocateLayer;
using detail::NamedRows;
using torch::Tensor;

constexpr std::int64_t kMemory = std::int64_t{1} << 30;  // bytes that a step's activations may take

void check(const LocateOptions& options) {
  auto least = [](const char* name, double value, double least) {
    if (!(value >= least)) throw ConfigError("locate: " + std::string(name) + " is " + std::to_string(value) + ", expected at least " + std::to_string(least));
  };
  least("steps", static_cast<double>(options.steps), 1);
  least("batch", static_cast<double>(options.batch), 1);
  least("pairs", static_cast<double>(options.pairs), 1);
  if (!(options.rate > 0)) throw ConfigError("locate: rate is " + std::to_string(options.rate) + ", expected more than 0");
  if (!(options.test_share > 0 && options.test_share < 1)) throw ConfigError("locate: test_share is " + std::to_string(options.test_share) + ", expected a share between 0 and 1");
}

// The layers asked for; the one of a module path, -1 for a component outside the layers.
std::vector<std::int64_t> layers_of(const models::Model& model, const LocateOptions& options) {
  const std::int64_t count = model.layer_count();
  const Site& site = model.sites().find(options.component, 0);
  if (site.axes != std::vector<Axis>{Axis::kBatch, Axis::kPos, Axis::kFeature}) throw PlanError("locate: " + options.component + " is not a value [batch, pos, feature] of the model");
  if (site.layer < 0 || site.component != options.component) {
    if (!options.layers.empty()) throw PlanError("locate: " + options.component + " is one place, so layers cannot be chosen");
    return {site.layer};
  }
  std::vector<std::int64_t> layers;
  for (std::int64_t layer = 0; layer < count; ++layer) layers.push_back(layer);
  if (options.layers.empty()) return layers;
  std::set<std::int64_t> seen;
  for (const std::int64_t layer : options.layers) {
    if (layer < 0 || layer >= count) throw PlanError("locate: there is no layer " + std::to_string(layer) + "; layers are 0 to " + std::to_string(count - 1));
    if (!seen.insert(layer).second) throw PlanError("locate: layer " + std::to_string(layer) + " is given twice");
  }
  return {seen.begin(), seen.end()};
}

// The grid columns to train and to probe.
std::vector<std::int64_t> columns_of(const NamedRows& rows, const LocateOptions& options) {
  std::vector<std::int64_t> columns;
  const auto count = static_cast<std::int64_t>(rows.tokens.size());
  for (std::int64_t column = 0; column < count; ++column) {
    if (options.columns.empty() || std::find(options.columns.begin(), options.columns.end(), column) != options.columns.end()) columns.push_back(column);
  }
  for (const std::int64_t column : options.columns) {
    if (column < 0 || column >= count) throw PlanError("locate: there is no column " + std::to_string(column) + "; the template has " + std::to_string(count));
  }
  return columns;
}

// Runs every name up to a layer's site, from where the layer before left them.
class Reader {
 public:
  Reader(std::shared_ptr<models::Model> model, const NamedRows& rows) : model_(std::move(model)), staged_(dynamic_cast<models::StagedModel&>(*model_)), rows_(rows) {
    const torch::NoGradGuard no_grad;
    staged_.run(staged_.begin(rows.batch, &past_), 0, staged_.layer_count());
    state_ = staged_.begin(rows.batch);
    if (state_.position_ids.defined()) state_.position_ids = state_.position_ids.expand({rows.batch.rows(), -1});
  }

  LocateLayer read(const std::string& component, std::int64_t layer) {
    const torch::NoGradGuard no_grad;
    LocateLayer read;
    read.layer = layer;
    read.site = model_->sites().find(component, layer);
    // What a block puts out is what the next one takes in, which spares running the block in each step.
    const Site* next = component == "block_output" ? model_->sites().try_find("block_input", layer + 1) : nullptr;
    if (next != nullptr && next->layer == layer + 1 && next->stage == layer + 1 && next->width == read.site.width) read.site = *next;
    if (read.site.stage >= 0) {
      state_ = staged_.run(std::move(state_), stage_, read.site.stage);
      stage_ = read.site.stage;
      read.start = StartState{state_, stage_};
      read.past = &past_;
    }
    RepresentationConfig representation;
    representation.component = read.site.component;
    representation.layer = read.site.layer;
    representation.intervention_type = "collect";
    IntervenableConfig config;
    config.add_intervention(representation);
    RunRequest request;
    request.base = rows_.batch;
    request.collect_only = true;
    RunOptions options;
    options.start = read.start;
    const Tensor whole = run(compile(config, model_, build_interventions(config, *model_), request), rows_.batch, {}, options).collected.at(0).value;
    read.values = whole.slice(1, rows_.batch_column(rows_.before)).contiguous();
    return read;
  }

 private:
  std::shared_ptr<models::Model> model_;
  models::StagedModel& staged_;
  const NamedRows& rows_;
  models::KeyValueCache past_;
  models::StageState state_;
  std::int64_t stage_ = 0;
};

// How many cells go into one batch: a block keeps about twenty times its input for the backward pass.
std::size_t cells_at_once(const models::Model& model, const NamedRows& rows, const LocateLayer& layer, std::int64_t batch) {
  const std::int64_t blocks = model.layer_count() - (layer.start ? layer.start->stage : 0) + 1;
  const std::int64_t cell = batch * rows.batch.positions() * model.hidden_size() * 20 * blocks * static_cast<std::int64_t>(torch::elementSize(model.dtype()));
  return static_cast<std::size_t>(std::max<std::int64_t>(1, kMemory / std::max<std::int64_t>(cell, 1)));
}

// Columns before the name: no name has been read there, so that base and source are the same and an exchange does nothing, and a probe can only
// name the class that most names are of.
struct BeforeName {
  double iia, probe;
};

BeforeName before_name(models::Model& model, const NamedRows& rows, const LayerTrainer::Pairs& tests) {
  const torch::NoGradGuard no_grad;
  models::ForwardOptions last;
  last.last_logits = 1;
  const Tensor answers = torch::tensor(rows.answers, torch::kInt64).to(model.device());
  const Tensor best = model.forward(rows.batch, last).logits.select(1, -1).index_select(1, answers).argmax(1).to(torch::kCPU);
  double right = 0;
  for (const auto& [base, source] : tests) right += best[base].item<std::int64_t>() == rows.classes[static_cast<std::size_t>(source)] ? 1 : 0;
  std::vector<std::int64_t> seen(rows.answers.size(), 0);
  for (const std::int64_t row : rows.train) ++seen[static_cast<std::size_t>(rows.classes[static_cast<std::size_t>(row)])];
  const auto most = std::max_element(seen.begin(), seen.end()) - seen.begin();
  const auto named = std::count_if(rows.test.begin(), rows.test.end(), [&](std::int64_t row) { return rows.classes[static_cast<std::size_t>(row)] == most; });
  return {right / static_cast<double>(tests.size()), static_cast<double>(named) / static_cast<double>(rows.test.size())};
}

}  // namespace

LocateResult locate(const models::LanguageModel& lm, const LocateTask& task, const LocateOptions& options) {
  check(options);
  if (dynamic_cast<models::StagedModel*>(lm.model.get()) == nullptr) throw ModelError("locate needs a model that can be cut into stages, and " + lm.model->architecture() + " cannot");
  LocateResult result;
  result.task = task;
  result.options = options;
  result.dtype = c10::getDtypeNames(lm.model->dtype()).first;
  result.layers = layers_of(*lm.model, options);
  const NamedRows rows = detail::named_rows(lm, result);
  const std::vector<std::int64_t> columns = columns_of(rows, options);
  std::vector<std::int64_t> trained;
  std::copy_if(columns.begin(), columns.end(), std::back_inserter(trained), [&](std::int64_t column) { return column >= rows.before; });
  const LayerTrainer::Pairs train = detail::pairs_of(rows.train, rows.classes, options.pairs, options.seed), test = detail::pairs_of(rows.test, rows.classes, options.pairs, options.seed + 1);
  result.train_pairs = static_cast<std::int64_t>(train.size());
  result.test_pairs = static_cast<std::int64_t>(test.size());

  const auto layers = static_cast<std::int64_t>(result.layers.size()), width = static_cast<std::int64_t>(rows.tokens.size());
  result.iia = torch::full({layers, width}, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
  result.probe = result.iia.clone();
  if (rows.before > 0) {
    const BeforeName before = before_name(*lm.model, rows, test);
    for (const std::int64_t column : columns) {
      if (column >= rows.before) break;
      result.iia.select(1, column).fill_(before.iia);
      result.probe.select(1, column).fill_(before.probe);
    }
  }
  Reader reader(lm.model, rows);
  std::vector<Tensor> cells;  // the values of every trained cell, for the probes
  std::size_t done = 0;
  const std::size_t all = static_cast<std::size_t>(options.steps) * result.layers.size();
  for (std::int64_t l = 0; l < layers; ++l) {
    const LocateLayer layer = reader.read(options.component, result.layers[static_cast<std::size_t>(l)]);
    Tensor directions = torch::zeros({width, layer.values.size(2)});
    const std::size_t at_once = cells_at_once(*lm.model, rows, layer, options.batch), begin = done;
    for (std::size_t from = 0; from < trained.size(); from += at_once) {
      const std::size_t to = std::min(trained.size(), from + at_once);
      const std::vector<std::int64_t> some(trained.begin() + static_cast<std::ptrdiff_t>(from), trained.begin() + static_cast<std::ptrdiff_t>(to));
      LayerTrainer trainer(lm.model, rows, layer, some, options);
      std::size_t step = 0;
      trainer.fit(train, [&] {
        // Of a layer in several parts, each step is a part of one.
        done = begin + (from * static_cast<std::size_t>(options.steps) + ++step * (to - from)) / trained.size();
        return !options.progress || options.progress(done, all);
      });
      const Tensor index = torch::tensor(some, torch::kInt64);
      result.iia[l].index_copy_(0, index, trainer.evaluate(test));
      directions.index_copy_(0, index, trainer.directions().to(torch::kCPU, torch::kFloat32));
    }
    done = begin + static_cast<std::size_t>(options.steps);
    result.directions.push_back(directions);
    for (const std::int64_t column : trained) cells.push_back(layer.values.select(1, column - rows.before));
  }
  if (!trained.empty()) {
    const auto classes = static_cast<std::int64_t>(rows.answers.size());
    const Tensor probes = detail::probe_accuracy(torch::stack(cells), rows.classes, classes, rows.train, rows.test).view({layers, -1});
    result.probe.index_copy_(1, torch::tensor(trained, torch::kInt64), probes);
  }
  return result;
}

}  // namespace vene
